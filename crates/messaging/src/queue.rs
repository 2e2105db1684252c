//! The handle that a process has on the queue, and the driver that keeps it alive.

use std::{fmt, future::Future, sync::Arc};

use mesh_context::{Policy, accept};
use prometheus::Registry;
use tokio::sync::watch;

use crate::{
    Consumer, ConsumerConfig, DeadLetter, Delivery, Depth, Error, Headers, Message, QueueConfig,
    Replay, amqp, config::Location, delivery::Received, metrics::Metrics, span::OpenSpan, sqlite,
};

/// A handle on the queue; clones share its connections.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    backend: Backend,
    policy: Policy,
    metrics: Arc<Metrics>,
    closing: watch::Sender<bool>,
    /// Ends when the driver does.
    driver: watch::Receiver<()>,
}

enum Backend {
    Amqp(amqp::Handle),
    Sqlite(sqlite::Handle),
}

/// Owns the connections. Nothing connects before [`run`](Driver::run), and nothing works after it was dropped.
#[must_use = "the queue works only while its driver runs"]
pub struct Driver {
    backend: BackendDriver,
    _ended: watch::Sender<()>,
}

enum BackendDriver {
    Amqp(amqp::Driver),
    Sqlite(Box<sqlite::Driver>),
}

/// A message on its way to the queue.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) id: String,
    /// The routing key.
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Headers,
}

impl Queue {
    /// The queue of these settings; `policy` says how this process reads and writes trace headers. Connects nothing: that
    /// is the driver's work, for a task that takes the process down when it ends.
    ///
    /// # Errors
    /// The metrics are registered already: a process has one queue.
    pub fn open(
        config: &QueueConfig,
        policy: &Policy,
        registry: &Registry,
    ) -> Result<(Self, Driver), prometheus::Error> {
        let closing = watch::Sender::new(false);
        let (backend, backend_driver) = match &config.location {
            Location::Amqp(uri) => {
                let (handle, driver) = amqp::open(uri, closing.subscribe());
                (Backend::Amqp(handle), BackendDriver::Amqp(driver))
            }
            Location::Sqlite(path) => {
                let (handle, driver) = sqlite::open(path, config.lease, closing.subscribe());
                let driver = BackendDriver::Sqlite(Box::new(driver));
                (Backend::Sqlite(handle), driver)
            }
        };
        let (ended, driver) = watch::channel(());
        let inner = Inner {
            backend,
            policy: policy.clone(),
            metrics: Arc::new(Metrics::register(registry)?),
            closing,
            driver,
        };
        let driver = Driver {
            backend: backend_driver,
            _ended: ended,
        };
        Ok((Self(Arc::new(inner)), driver))
    }

    /// Whether the queue can be used now. Once it has been true, the process has reached the queue.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        match &self.0.backend {
            Backend::Amqp(handle) => handle.connected(),
            Backend::Sqlite(handle) => handle.connected(),
        }
    }

    /// Publishes, and waits until the queue has the message for good. `headers` are those of the request that caused it
    /// (from an outbox, perhaps): the span of the publication is a child of theirs, and the consumer's one of that.
    ///
    /// While the queue is away this fails at once. A message may be published again after any error: it is worked on once.
    ///
    /// # Errors
    /// The queue is away, did not confirm within 5 s, or refused the message.
    pub async fn publish(&self, message: &Message, headers: &Headers) -> Result<(), Error> {
        let outgoing = Outgoing {
            id: message.id.clone(),
            kind: message.kind.clone(),
            body: message.to_json(),
            headers: headers.clone(),
        };
        self.send(outgoing).await
    }

    pub(crate) async fn send(&self, mut outgoing: Outgoing) -> Result<(), Error> {
        let inner = &*self.0;
        let context = accept(outgoing.headers.as_map(), &inner.policy).context;
        let span = OpenSpan::start(&context, inner.backend.system(), &outgoing.id);
        outgoing.headers = Headers::of(&context);
        let result = match &inner.backend {
            Backend::Amqp(handle) => handle.publish(&outgoing).await,
            Backend::Sqlite(handle) => handle.publish(outgoing).await,
        };
        if result.is_ok() {
            inner.metrics.published.inc();
        }
        if let Some(span) = span {
            span.published(result.as_ref().err().map(ToString::to_string));
        }
        result
    }

    /// A consumer with at most `config.prefetch` messages in hand. Once `stop` has ended it takes no more, and its
    /// [`next`](Consumer::next) ends after what is left in hand.
    #[must_use]
    pub fn consumer(
        &self,
        config: ConsumerConfig,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Consumer {
        let (consumer, registration) = Consumer::new(self.clone(), config.prefetch, stop);
        match &self.0.backend {
            Backend::Amqp(handle) => handle.consume(registration),
            Backend::Sqlite(handle) => handle.consume(registration),
        }
        consumer
    }

    pub(crate) fn delivery(&self, received: Received) -> Delivery {
        let Inner {
            backend,
            policy,
            metrics,
            ..
        } = &*self.0;
        Delivery::new(received, policy, metrics, backend.system())
    }

    /// How full the queue is.
    ///
    /// # Errors
    /// It is away.
    pub async fn depth(&self) -> Result<Depth, Error> {
        match &self.0.backend {
            Backend::Amqp(handle) => handle.depth().await,
            Backend::Sqlite(handle) => handle.depth().await,
        }
    }

    /// Every dead letter, the oldest first. On a broker nobody else sees them while this runs.
    ///
    /// # Errors
    /// The queue is away.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        match &self.0.backend {
            Backend::Amqp(handle) => handle.dead_letters().await,
            Backend::Sqlite(handle) => handle.dead_letters().await,
        }
    }

    /// Publishes dead letters again, each confirmed before it is removed from them, and says how many.
    ///
    /// # Errors
    /// The queue is away or refused one: that one and those after it are still dead letters.
    pub async fn replay(&self, which: &Replay) -> Result<usize, Error> {
        match &self.0.backend {
            Backend::Amqp(handle) => handle.replay(which).await,
            Backend::Sqlite(handle) => handle.replay(which.clone()).await,
        }
    }

    /// Closes the connections in order, so that the queue knows of every settled message, and ends the driver. What is
    /// still in hand comes back, at the price of a delivery.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        let mut driver = self.0.driver.clone();
        // It never says anything: its end is the news.
        let _ = driver.changed().await;
    }
}

impl Backend {
    /// `messaging.system` of OpenTelemetry.
    fn system(&self) -> &'static str {
        match self {
            Self::Amqp(_) => "rabbitmq",
            Self::Sqlite(_) => "sqlite",
        }
    }
}

impl Driver {
    /// Keeps the queue connected until [`Queue::close`]: never ends before.
    pub async fn run(self) {
        let Self {
            backend,
            _ended: ended,
        } = self;
        match backend {
            BackendDriver::Amqp(driver) => driver.run().await,
            BackendDriver::Sqlite(driver) => driver.run().await,
        }
        drop(ended);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("system", &self.0.backend.system())
            .field("connected", &*self.connected().borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
