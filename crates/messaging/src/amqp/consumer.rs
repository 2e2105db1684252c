//! Takes messages over a link of its own, and hands them to the consumer.

use std::{fmt, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Connection,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
    uri::AMQPUri,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    Ticket,
    connection::{self, Events, answer},
    declare::declare,
    properties::Properties,
    publisher::Publisher,
};
use crate::{
    config::make_room,
    consumer::{Hand, Registration},
    delivery::{self, Received, Settle},
    link::{End, Link},
    topology::QUEUE,
};

/// When messages have come back nothing is handed out until so long after the last of them: time to spare those that
/// should be, before the next worker dies.
const QUARANTINE: Duration = Duration::from_millis(100);

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
    /// Stopped, and the last message has come.
    ended: bool,
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
    quarantine: Option<Quarantine>,
}

/// Messages that wait until everything was spared that should be.
struct Quarantine {
    until: Instant,
    came_back: Vec<Received>,
    fresh: Vec<Received>,
}

/// What a consumer waits for.
enum News {
    Closing,
    Gone,
    Stopped,
    Lost(String),
    /// None when the broker has cancelled the consumer, or we have.
    Message(Option<lapin::Result<Box<lapin::message::Delivery>>>),
    QuarantineOver,
}

impl ConsumerLink {
    pub(super) fn new(
        mut uri: AMQPUri,
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
        // Else one message that does not fit would cost all others in hand a delivery.
        make_room(&mut uri);
        Self {
            uri,
            publisher,
            closing,
            prefetch,
            deliveries: Some(deliveries),
            stop,
            stopped: false,
            ended: false,
            gone,
            open: None,
        }
    }

    async fn news(&mut self, open: &mut Open) -> News {
        let Open {
            events,
            messages,
            spared,
            quarantine,
            ..
        } = open;
        let until = quarantine.as_ref().map(|quarantine| quarantine.until);
        loop {
            let over = sleep_until(until.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return News::Closing,
                _ = &mut self.gone => return News::Gone,
                () = &mut self.stop, if !self.stopped => return News::Stopped,
                message = messages.next(), if !self.ended => {
                    return News::Message(message.map(|message| message.map(Box::new)));
                }
                Some(()) = spared.next() => {}
                () = over, if until.is_some() && spared.is_empty() => return News::QuarantineOver,
                reason = connection::lost(events) => return News::Lost(reason),
            }
        }
    }

    async fn act(&mut self, open: &mut Open, news: News) -> Option<End> {
        match news {
            News::Closing | News::Gone => return Some(End::Closed),
            News::Stopped => return self.stop(open).await,
            News::Lost(reason) => return Some(self.lost(reason)),
            News::Message(Some(Ok(message))) => self.receive(open, *message),
            News::Message(Some(Err(error))) => return Some(self.lost(error.to_string())),
            News::Message(None) if self.stopped => self.ended = true,
            News::Message(None) => {
                return Some(End::Lost("the broker cancelled the consumer".to_owned()));
            }
            News::QuarantineOver => {
                // What has come back goes first: if it kills again, that counts for it and not for what is behind it.
                if let Some(quarantine) = open.quarantine.take() {
                    self.hand_out(quarantine.came_back);
                    self.hand_out(quarantine.fresh);
                }
            }
        }
        if self.ended && open.quarantine.is_none() {
            self.deliveries = None;
        }
        None
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

    fn receive(&self, open: &mut Open, message: lapin::message::Delivery) {
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
            ticket: delivery::Ticket::Amqp(Box::new(Ticket {
                acker,
                properties,
                publisher: self.publisher.clone(),
            })),
            settled: false,
        };
        if returns > 0 {
            let quarantine = open.quarantine.get_or_insert_with(Quarantine::new);
            quarantine.until = Instant::now() + QUARANTINE;
            if spare {
                open.spared.push(release(received).boxed());
            } else {
                quarantine.came_back.push(received);
            }
        } else if let Some(quarantine) = &mut open.quarantine {
            quarantine.fresh.push(received);
        } else {
            self.hand_out([received]);
        }
    }

    fn hand_out(&self, received: impl IntoIterator<Item = Received>) {
        if let Some(deliveries) = &self.deliveries {
            for received in received {
                // A consumer that was dropped meanwhile gives back what it does not get.
                let _ = deliveries.send(received);
            }
        }
    }
}

impl Quarantine {
    fn new() -> Self {
        Self {
            until: Instant::now(),
            came_back: Vec::new(),
            fresh: Vec::new(),
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
            quarantine: None,
        });
        Ok(())
    }

    async fn serve(&mut self, (): &()) -> End {
        let mut open = self.open.take().expect("serve follows connect");
        let end = loop {
            let news = self.news(&mut open).await;
            if let Some(end) = self.act(&mut open, news).await {
                break end;
            }
        };
        self.open = Some(open);
        end
    }

    async fn close(&mut self, (): ()) {
        if let Some(open) = self.open.take() {
            connection::close(&open.connection).await;
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
