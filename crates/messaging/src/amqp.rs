//! RabbitMQ, 3.10 and later.
//!
//! One connection publishes and answers questions, one more belongs to each consumer; each is a link of its own that is
//! kept up for ever. A channel that fails takes its connection with it: everything is declared and made anew, which is the
//! one way of recovery for every failure.

mod connection;
mod consumer;
mod dead;
mod declare;
mod properties;
mod publisher;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Acker,
    options::{BasicAckOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use self::{
    consumer::ConsumerLink,
    properties::Properties,
    publisher::{Publisher, PublisherLink},
};
use crate::{
    DeadLetter, Depth, Error, Replay,
    consumer::Registration,
    delivery::Settle,
    link::keep_up,
    queue::Outgoing,
    topology::{DEAD_EXCHANGE, DEAD_QUEUE, EXCHANGE, QUEUE, ROUTING_KEY},
};

/// An acknowledgement is not answered; this is for writing it.
const ACK_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Handle {
    publisher: Publisher,
    registrations: mpsc::UnboundedSender<Registration>,
}

#[derive(Debug)]
pub(crate) struct Driver {
    uri: AMQPUri,
    publisher: Publisher,
    registrations: mpsc::UnboundedReceiver<Registration>,
    closing: watch::Receiver<bool>,
    /// So that the channel stays open when every handle is gone.
    _registrations: mpsc::UnboundedSender<Registration>,
}

/// The right to settle one message.
#[derive(Debug)]
pub(crate) struct Ticket {
    acker: Acker,
    properties: Properties,
    /// To publish it elsewhere before it is acknowledged here.
    publisher: Publisher,
}

/// The broker at `uri`. Connects nothing.
pub(crate) fn open(uri: &AMQPUri, closing: watch::Receiver<bool>) -> (Handle, Driver) {
    let publisher = Publisher::default();
    let (registrations, registered) = mpsc::unbounded_channel();
    let driver = Driver {
        uri: uri.clone(),
        publisher: publisher.clone(),
        registrations: registered,
        closing,
        _registrations: registrations.clone(),
    };
    let handle = Handle {
        publisher,
        registrations,
    };
    (handle, driver)
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut links: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let publisher = PublisherLink::new(self.uri.clone(), self.closing.clone());
        let status = Arc::clone(self.publisher.status());
        links.push(keep_up(publisher, status, self.closing.clone()).boxed());
        // The publisher's link ends only when the queue is closed, and so do then the others.
        loop {
            tokio::select! {
                ended = links.next() => if ended.is_none() { break },
                Some(registration) = self.registrations.recv() => links.push(self.consume(registration)),
            }
        }
    }

    fn consume(&self, registration: Registration) -> BoxFuture<'static, ()> {
        let Self {
            uri,
            publisher,
            closing,
            ..
        } = self;
        let link = ConsumerLink::new(
            uri.clone(),
            registration,
            publisher.clone(),
            closing.clone(),
        );
        keep_up(link, Arc::default(), closing.clone()).boxed()
    }
}

impl Handle {
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.publisher.status().connected()
    }

    pub(crate) async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error> {
        let Outgoing {
            id,
            kind,
            body,
            headers,
        } = outgoing;
        let properties = Properties::new(id, kind, headers)?;
        self.publisher
            .publish(EXCHANGE, kind, body, properties)
            .await
    }

    pub(crate) fn consume(&self, registration: Registration) {
        // Without a driver the consumer waits for ever, as it does while the broker is away.
        let _ = self.registrations.send(registration);
    }

    pub(crate) async fn depth(&self) -> Result<Depth, Error> {
        let channel = self.publisher.channel().await?;
        let count = async |queue: &str| {
            let options = QueueDeclareOptions::default().passive();
            let declare = channel.queue_declare(queue.into(), options, FieldTable::default());
            let declared = connection::answer(declare).await?;
            Ok::<_, Error>(declared.message_count().into())
        };
        Ok(Depth {
            ready: count(QUEUE).await?,
            dead: count(DEAD_QUEUE).await?,
        })
    }

    pub(crate) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        dead::list(&self.publisher).await
    }

    pub(crate) async fn replay(&self, which: &Replay) -> Result<usize, Error> {
        dead::replay(&self.publisher, which).await
    }
}

impl Ticket {
    pub(crate) fn is_ours(&self) -> bool {
        !self.acker.poisoned()
    }

    /// What moves is published where it goes, and confirmed, before it is acknowledged here: a crash in between leaves two
    /// of it, never none.
    pub(crate) async fn settle(&self, how: Settle, body: &[u8]) -> Result<(), Error> {
        if !self.is_ours() {
            return Err(Error::Lost);
        }
        match how {
            Settle::Ack => {}
            Settle::DeadLetter(reason) => {
                let properties = self
                    .properties
                    .dead(&reason, Some(self.properties.returns() + 1));
                self.publisher
                    .publish(DEAD_EXCHANGE, ROUTING_KEY, body, properties)
                    .await?;
            }
            Settle::Release => {
                let properties = self.properties.fresh();
                self.publisher
                    .publish(EXCHANGE, ROUTING_KEY, body, properties)
                    .await?;
            }
        }
        ack(&self.acker).await
    }

    pub(crate) fn give_back(&self) {
        give_back(&self.acker);
    }
}

async fn ack(acker: &Acker) -> Result<(), Error> {
    match timeout(ACK_LIMIT, acker.ack(BasicAckOptions::default())).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false) | Err(_)) | Err(_) => Err(Error::Lost),
    }
}

/// To the head of the queue, one delivery poorer. The first poll hands it to the connection; it is not answered.
fn give_back(acker: &Acker) {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    let _ = acker.nack(options).now_or_never();
}
