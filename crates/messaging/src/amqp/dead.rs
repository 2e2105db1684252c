//! Looks at dead letters and sends them on their way again.
//!
//! A broker lets nobody look: what is read is in our hand until it is put back. That counts as a delivery, and brokers from
//! 4.0 on throw away what has been delivered 20 times where no limit is declared. So a letter that has been looked at
//! often is replaced by a fresh copy of itself instead.

use futures_util::future::try_join_all;
use lapin::{Channel, message::Delivery, options::BasicGetOptions};

use super::{ack, connection::answer, give_back, properties::Properties, publisher::Publisher};
use crate::{
    DeadLetter, Error, Replay,
    topology::{DEAD_EXCHANGE, DEAD_QUEUE, EXCHANGE, ROUTING_KEY},
};

/// Well below 20.
const LOOKED_AT_OFTEN: u32 = 10;

/// A dead letter in our hand.
struct Letter {
    delivery: Delivery,
    properties: Properties,
}

pub(super) async fn list(publisher: &Publisher) -> Result<Vec<DeadLetter>, Error> {
    let channel = publisher.channel().await?;
    let letters = read(&channel).await?;
    let listed = letters.iter().map(Letter::describe).collect();
    let put_back = letters.iter().map(|letter| letter.put_back(publisher));
    try_join_all(put_back).await?;
    close(&channel).await;
    Ok(listed)
}

pub(super) async fn replay(publisher: &Publisher, which: &Replay) -> Result<usize, Error> {
    let channel = publisher.channel().await?;
    let letters = read(&channel).await?;
    let (wanted, others): (Vec<_>, Vec<_>) = letters
        .into_iter()
        .partition(|letter| which.wants(&letter.id()));
    let others = others.iter().map(|letter| letter.put_back(publisher));
    try_join_all(others).await?;
    // One after the other, so that after a failure it is clear which have gone.
    for letter in &wanted {
        letter.move_to(EXCHANGE, publisher).await?;
    }
    close(&channel).await;
    Ok(wanted.len())
}

/// All that are there. Should we fail later, the end of the channel puts them back.
async fn read(channel: &Channel) -> Result<Vec<Letter>, Error> {
    let mut letters = Vec::new();
    loop {
        let get = channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions::default());
        let Some(got) = answer(get).await? else {
            return Ok(letters);
        };
        let mut delivery = got.delivery;
        let properties = Properties::received(std::mem::take(&mut delivery.properties));
        letters.push(Letter {
            delivery,
            properties,
        });
    }
}

/// What was put back or acknowledged is known to the broker when this has ended.
async fn close(channel: &Channel) {
    if let Err(error) = answer(channel.close(200, "bye".into())).await {
        tracing::debug!(%error, "closing a channel");
    }
}

impl Letter {
    fn id(&self) -> String {
        self.properties.id(&self.delivery.data)
    }

    fn describe(&self) -> DeadLetter {
        let (reason, died_at) = self.properties.death();
        DeadLetter {
            id: self.id(),
            reason,
            died_at,
            deliveries: self.properties.deliveries(),
            body: self.delivery.data.clone(),
            headers: self.properties.headers(),
        }
    }

    async fn put_back(&self, publisher: &Publisher) -> Result<(), Error> {
        if self.properties.returns() < LOOKED_AT_OFTEN {
            give_back(&self.delivery.acker);
            return Ok(());
        }
        let (reason, _) = self.properties.death();
        let properties = self.properties.dead(&reason, self.properties.deliveries());
        self.publish(DEAD_EXCHANGE, publisher, properties).await
    }

    async fn move_to(&self, exchange: &'static str, publisher: &Publisher) -> Result<(), Error> {
        self.publish(exchange, publisher, self.properties.fresh())
            .await
    }

    async fn publish(
        &self,
        exchange: &'static str,
        publisher: &Publisher,
        properties: Properties,
    ) -> Result<(), Error> {
        publisher
            .publish(exchange, ROUTING_KEY, &self.delivery.data, properties)
            .await?;
        ack(&self.delivery.acker).await
    }
}
