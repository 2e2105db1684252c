//! Takes messages over a link of its own, and hands them to the consumer.

use std::fmt;

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Connection,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
    uri::AMQPUri,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Ticket,
    connection::{self, Events, answer},
    declare::declare,
    properties::Properties,
    publisher::Publisher,
};
use crate::{
    consumer::{Hand, Registration},
    delivery::{self, Received, Settle},
    link::{End, Link},
    topology::QUEUE,
};

/// The link of one consumer.
pub(super) struct ConsumerLink {
    uri: AMQPUri,
    publisher: Publisher,
    closing: watch::Receiver<bool>,
    prefetch: u16,
    /// None once it was stopped and has got everything.
    deliveries: Option<mpsc::UnboundedSender<Received>>,
    stop: BoxFuture<'static, ()>,
    stopped: bool,
    gone: oneshot::Receiver<()>,
    open: Option<Open>,
}

/// While a connection lasts.
struct Open {
    connection: Connection,
    events: Events,
    channel: Channel,
    messages: lapin::Consumer,
    hand: Hand,
    /// Messages being put at the end of the queue.
    spared: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// What a consumer waits for.
enum News {
    Closing,
    Gone,
    Stopped,
    Lost(String),
    /// None when the broker has cancelled the consumer, or we have.
    Message(Option<lapin::Result<lapin::message::Delivery>>),
}

impl ConsumerLink {
    pub(super) fn new(
        uri: AMQPUri,
        registration: Registration,
        publisher: Publisher,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let Registration {
            prefetch,
            deliveries,
            stop,
            gone,
        } = registration;
        Self {
            uri,
            publisher,
            closing,
            prefetch,
            deliveries: Some(deliveries),
            stop,
            stopped: false,
            gone,
            open: None,
        }
    }

    async fn news(&mut self, open: &mut Open) -> News {
        let Open {
            events,
            messages,
            spared,
            ..
        } = open;
        loop {
            tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return News::Closing,
                _ = &mut self.gone => return News::Gone,
                () = &mut self.stop, if !self.stopped => return News::Stopped,
                message = messages.next(), if self.deliveries.is_some() => return News::Message(message),
                Some(()) = spared.next() => {}
                reason = connection::lost(events) => return News::Lost(reason),
            }
        }
    }

    /// No more from now on. What the broker sent before it heard of that still comes.
    async fn stop(&mut self, open: &mut Open) -> Option<End> {
        self.stopped = true;
        let tag = open.messages.tag();
        let cancel = open
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        let error = answer(cancel).await.err()?;
        Some(self.lost(error.to_string()))
    }

    /// Without a connection there is nothing left in hand, and a consumer that was stopped needs no other.
    fn lost(&mut self, reason: String) -> End {
        if self.stopped {
            self.deliveries = None;
            return End::Closed;
        }
        End::Lost(reason)
    }

    fn receive(&self, open: &Open, message: lapin::message::Delivery) {
        let lapin::message::Delivery {
            properties,
            data: body,
            acker,
            ..
        } = message;
        let properties = Properties::received(properties);
        let returns = properties.returns();
        let spare = open.hand.spares(returns) && self.publisher.status().session().is_ok();
        let received = Received {
            id: properties.id(&body),
            headers: properties.headers(),
            body,
            returns,
            since: Instant::now(),
            _slot: open.hand.take(returns, None),
            ticket: delivery::Ticket::Amqp(Ticket {
                acker,
                properties,
                publisher: self.publisher.clone(),
            }),
            settled: false,
        };
        match &self.deliveries {
            Some(_) if spare => open.spared.push(release(received).boxed()),
            // A consumer that was dropped meanwhile gives back what it does not get.
            Some(deliveries) => drop(deliveries.send(received)),
            None => {}
        }
    }
}

async fn release(received: Received) {
    if let Err(error) = received.settle(Settle::Release).await {
        tracing::debug!(%error, "a message that came back could not be put at the end of the queue");
    }
}

impl Link for ConsumerLink {
    type Session = ();

    const NAME: &'static str = "consumer";

    async fn connect(&mut self) -> Result<(), String> {
        let (connection, events) = connection::connect(&self.uri, Self::NAME).await?;
        let channel = answer(connection.create_channel())
            .await
            .map_err(|error| error.to_string())?;
        declare(&channel).await?;
        let consume = async {
            // Per consumer; a quorum queue refuses a limit for the whole channel.
            let options = BasicQosOptions { global: false };
            channel.basic_qos(self.prefetch, options).await?;
            let tag = ShortString::from(format!("{QUEUE}-{}", uuid::Uuid::new_v4()));
            let options = BasicConsumeOptions::default();
            channel
                .basic_consume(QUEUE.into(), tag, options, FieldTable::default())
                .await
        };
        let messages = answer(consume).await.map_err(|error| error.to_string())?;
        self.open = Some(Open {
            connection,
            events,
            channel,
            messages,
            hand: Hand::default(),
            spared: FuturesUnordered::new(),
        });
        Ok(())
    }

    async fn serve(&mut self, (): ()) -> End {
        let mut open = self.open.take().expect("serve follows connect");
        loop {
            let end = match self.news(&mut open).await {
                News::Closing | News::Gone => Some(End::Closed),
                News::Stopped => self.stop(&mut open).await,
                News::Lost(reason) => return self.lost(reason),
                News::Message(Some(Ok(message))) => {
                    self.receive(&open, message);
                    None
                }
                News::Message(Some(Err(error))) => Some(self.lost(error.to_string())),
                News::Message(None) if self.stopped => {
                    self.deliveries = None;
                    None
                }
                News::Message(None) => {
                    Some(End::Lost("the broker cancelled the consumer".to_owned()))
                }
            };
            if let Some(end) = end {
                connection::close(&open.connection).await;
                return end;
            }
        }
    }
}

impl fmt::Debug for ConsumerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerLink")
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}
