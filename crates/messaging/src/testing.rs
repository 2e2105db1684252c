//! Queues for tests: a temporary file, and a throw-away RabbitMQ that goes when its test process does.
//!
//! ```text
//! async fn a_message_comes_back(place: Place) { … }
//!
//! mesh_messaging::on_each_queue!(a_message_comes_back);
//! ```

mod broker;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use mesh_config::{Reader, Section};
use mesh_context::{Policy, Sampler, Span, SpanSink};
use prometheus::{Registry, TextEncoder};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{task::JoinHandle, time::timeout};

pub use self::broker::RabbitMq;
use crate::{
    Consumer, ConsumerConfig, Driver, Error, Headers, Message, Queue, QueueConfig, dead::name_of,
    message::stated_id, queue::Outgoing, topology::ROUTING_KEY,
};

/// Longer than anything takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Short, so that a test does not wait long for a consumer of the embedded queue to be taken for dead; long enough that a
/// busy machine does not take a living one for dead.
pub const LEASE: Duration = Duration::from_millis(1500);

/// A test per back end and function: each gets an empty queue.
#[macro_export]
macro_rules! on_each_queue {
    ($($test:ident),+ $(,)?) => {
        mod on_a_file {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::testing::Place::file()).await;
            })+
        }
        mod on_rabbitmq {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::testing::Place::rabbitmq().await).await;
            })+
        }
    };
}

/// Where a queue is.
#[derive(Debug)]
pub struct Place {
    url: String,
    _folder: Option<TempDir>,
}

impl Place {
    /// A file that does not exist yet, in a folder of its own.
    ///
    /// # Panics
    /// There is no place for temporary files.
    pub fn file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            url: format!("sqlite://{}/made/queue.db", folder.path().display()),
            _folder: Some(folder),
        }
    }

    /// A new, empty virtual host on a broker that all tests of this process share.
    ///
    /// # Panics
    /// RabbitMQ is not installed, or does not start.
    pub async fn rabbitmq() -> Self {
        // The one static: a broker takes seconds to start. It outlives no process.
        static SHARED: OnceLock<RabbitMq> = OnceLock::new();
        Self::on(SHARED.get_or_init(RabbitMq::start)).await
    }

    /// A new, empty virtual host on this broker.
    pub async fn on(broker: &RabbitMq) -> Self {
        Self {
            url: broker.virtual_host().await,
            _folder: None,
        }
    }

    /// For `MESH_QUEUE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a process makes of that.
    pub fn config(&self) -> QueueConfig {
        config(&self.url).with_lease(LEASE)
    }

    /// A process that uses the queue, once it is connected.
    ///
    /// # Panics
    /// It cannot be reached.
    pub async fn process(&self) -> Process {
        let process = Process::start(&self.config());
        process.connected().await;
        process
    }
}

/// What a process makes of this `MESH_QUEUE_URL`.
///
/// # Panics
/// The URL is refused.
pub fn config(url: &str) -> QueueConfig {
    struct Given(QueueConfig);
    impl Section for Given {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self(QueueConfig::read(reader))
        }
    }
    let source = BTreeMap::from([("MESH_QUEUE_URL".to_owned(), url.to_owned())]);
    let loaded = mesh_config::load::<Given>(&source).expect("the URL of a test is good");
    loaded.config.0
}

/// What one process has of the queue: dropped or killed, it is gone as after `kill -9`.
#[derive(Debug)]
pub struct Process {
    /// Its handle.
    pub queue: Queue,
    /// Its spans.
    pub spans: Arc<Spans>,
    registry: Registry,
    driver: JoinHandle<()>,
}

impl Process {
    /// Starts it, and does not wait until it is connected.
    ///
    /// # Panics
    /// Never: its metrics are its own.
    pub fn start(config: &QueueConfig) -> Self {
        let (queue, driver, registry, spans) = opened(config);
        #[expect(clippy::disallowed_methods, reason = "a test has no Tasks")]
        let driver = tokio::spawn(driver.run());
        Self {
            queue,
            spans,
            registry,
            driver,
        }
    }

    /// Waits until the queue is there.
    ///
    /// # Panics
    /// It does not come.
    pub async fn connected(&self) {
        let mut connected = self.queue.connected();
        within(connected.wait_for(|connected| *connected))
            .await
            .expect("the driver runs");
    }

    /// Waits until the queue is away.
    ///
    /// # Panics
    /// It stays.
    pub async fn away(&self) {
        let mut connected = self.queue.connected();
        within(connected.wait_for(|connected| !*connected))
            .await
            .expect("the driver runs");
    }

    /// A consumer that is never stopped.
    pub fn consumer(&self, prefetch: u16) -> Consumer {
        self.queue
            .consumer(ConsumerConfig { prefetch }, std::future::pending())
    }

    /// Publishes a message of that id.
    ///
    /// # Panics
    /// It is not confirmed.
    pub async fn publish(&self, id: &str) {
        let (message, headers) = (message(id), Headers::default());
        let publish = self.queue.publish(&message, &headers);
        within(publish).await.expect("the queue takes it");
    }

    /// Publishes any body.
    ///
    /// # Errors
    /// As for a message.
    pub async fn publish_body(&self, body: &[u8]) -> Result<(), Error> {
        let outgoing = Outgoing {
            id: stated_id(body).unwrap_or_else(|| name_of(body)),
            kind: ROUTING_KEY.to_owned(),
            body: body.to_vec(),
            headers: Headers::default(),
        };
        self.queue.send(outgoing).await
    }

    /// Its metrics, as Prometheus reads them.
    ///
    /// # Panics
    /// Never.
    pub fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("metrics are text")
    }

    /// Ends it as `kill -9` would.
    pub async fn kill(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }
}

/// A queue and its driver, for a test that polls the driver itself.
///
/// # Panics
/// Never: its metrics are its own.
pub fn opened(config: &QueueConfig) -> (Queue, Driver, Registry, Arc<Spans>) {
    let spans = Arc::new(Spans::default());
    let registry = Registry::new();
    let sink: Arc<dyn SpanSink> = Arc::<Spans>::clone(&spans);
    let policy = Policy {
        sampler: Sampler::PARENT_BASED_ON,
        spans: Some(sink),
        ..Policy::inside(LIMIT)
    };
    let opened = Queue::open(config, &policy, &registry);
    let (queue, driver) = opened.expect("the registry is new");
    (queue, driver, registry, spans)
}

/// A message that says an order was confirmed.
pub fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        kind: ROUTING_KEY.to_owned(),
        order_id: format!("order of {id}"),
        occurred_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// What ends in a test; waiting longer is its failure.
///
/// # Panics
/// It does not end.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future)
        .await
        .expect("it ends within the limit")
}

/// Keeps every span.
#[derive(Debug, Default)]
pub struct Spans(Mutex<Vec<Span>>);

impl Spans {
    /// Those that have ended, the oldest first.
    ///
    /// # Panics
    /// Never.
    pub fn ended(&self) -> Vec<Span> {
        self.0
            .lock()
            .expect("nobody panics while holding it")
            .clone()
    }
}

impl SpanSink for Spans {
    fn submit(&self, span: Span) {
        self.0
            .lock()
            .expect("nobody panics while holding it")
            .push(span);
    }
}
