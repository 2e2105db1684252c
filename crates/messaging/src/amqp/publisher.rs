//! Publishes with confirmation, over a link of its own.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
    uri::AMQPUri,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::{
    connection::{self, Events},
    declare::declare,
    properties::Properties,
};
use crate::{
    Error,
    link::{End, Link, Status},
    topology::ROUTING_KEY,
};

/// A quorum queue confirms when most of its replicas have written the message: milliseconds, or never.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

/// Publishes over whatever connection there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Publisher(Arc<Status<Session>>);

/// While a connection lasts.
#[derive(Debug, Clone)]
pub(super) struct Session {
    connection: Arc<Connection>,
    channel: Channel,
    /// Something is wrong with it: make a new one.
    broken: Arc<Notify>,
}

/// The link that makes sessions.
pub(super) struct PublisherLink {
    uri: AMQPUri,
    closing: watch::Receiver<bool>,
    events: Option<Events>,
}

impl PublisherLink {
    pub(super) fn new(uri: AMQPUri, closing: watch::Receiver<bool>) -> Self {
        Self {
            uri,
            closing,
            events: None,
        }
    }
}

impl Link for PublisherLink {
    type Session = Session;

    const NAME: &'static str = "publisher";

    async fn connect(&mut self) -> Result<Session, String> {
        let (connection, events) = connection::connect(&self.uri, Self::NAME).await?;
        let make = async {
            let channel = connection.create_channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            Ok(channel)
        };
        let channel = connection::answer(make)
            .await
            .map_err(|error| error.to_string())?;
        declare(&channel).await?;
        self.events = Some(events);
        Ok(Session {
            connection: Arc::new(connection),
            channel,
            broken: Arc::new(Notify::new()),
        })
    }

    async fn serve(&mut self, session: &Session) -> End {
        let Self {
            closing, events, ..
        } = self;
        let events = events.as_mut().expect("serve follows connect");
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => End::Closed,
            reason = connection::lost(events) => End::Lost(reason),
            () = session.broken.notified() => {
                End::Lost("a message was not taken, connecting anew".to_owned())
            }
        }
    }

    async fn close(&mut self, session: Session) {
        connection::close(&session.connection).await;
    }
}

impl Publisher {
    pub(super) fn status(&self) -> &Arc<Status<Session>> {
        &self.0
    }

    /// A new channel, for a question.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let session = self.0.session()?;
        connection::answer(session.connection.create_channel()).await
    }

    /// Ends once the broker has the message for good.
    pub(super) async fn publish(
        &self,
        exchange: &'static str,
        routing_key: &str,
        body: &[u8],
        properties: Properties,
    ) -> Result<(), Error> {
        let session = self.0.session()?;
        let key = ShortString::try_new(routing_key).map_err(|error| Error::Refused {
            reason: format!("routing key: {error}"),
        })?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let channel = &session.channel;
        let publish = async {
            let sent =
                channel.basic_publish(exchange.into(), key, options, body, properties.into());
            sent.await?.await
        };
        let confirmed = timeout(CONFIRM_LIMIT, publish).await;
        let result = match confirmed {
            Ok(Ok(confirmation)) => judge(confirmation),
            Ok(Err(error)) => Err(Error::unavailable(error.to_string())),
            Err(_) => Err(Error::unavailable(format!(
                "not confirmed within {CONFIRM_LIMIT:?}"
            ))),
        };
        // A key that nobody declared is the caller's mistake. Ours leads to a queue, or what was declared is gone.
        if result.is_err() && routing_key == ROUTING_KEY {
            session.broken.notify_one();
        }
        result
    }
}

/// Acknowledged is not enough: a message that fits no queue is acknowledged too, and returned.
fn judge(confirmation: Confirmation) -> Result<(), Error> {
    let reason = match confirmation {
        Confirmation::Ack(None) => return Ok(()),
        Confirmation::Ack(Some(returned)) => {
            format!("returned: {} {}", returned.reply_code, returned.reply_text)
        }
        Confirmation::Nack(_) => "not taken by its queue".to_owned(),
        Confirmation::NotRequested => "not confirmed, because nobody asked for it".to_owned(),
    };
    Err(Error::Refused { reason })
}
