//! Where the queue is, and how many messages a consumer has in hand.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use lapin::uri::AMQPUri;
use mesh_config::Reader;
use sqlx::sqlite::SqliteConnectOptions;

const URL: &str = "MESH_QUEUE_URL";
const PREFETCH: &str = "MESH_PREFETCH";
const DEFAULT_URL: &str = "sqlite://.mesh/queue.db";
const DEFAULT_PREFETCH: u64 = 10;
/// More in one hand is no consumer but a second queue.
const MOST_IN_HAND: u64 = 1000;
/// Bytes; what brokers allow unless told otherwise. All headers of a message are in one frame.
const LARGEST_FRAME: u32 = 128 * 1024;
/// A consumer of the embedded queue that is silent for so long is taken for dead. Five of its beats may come late, and a
/// process that is paused longer than that must not keep the work from the others.
const LEASE: Duration = Duration::from_secs(5);

/// For any message that a broker holds: one that does not fit into a frame ends the connection.
pub(crate) fn make_room(uri: &mut AMQPUri) {
    uri.query.frame_max.get_or_insert(LARGEST_FRAME);
}

/// Where the queue is.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    pub(crate) location: Location,
    pub(crate) lease: Duration,
}

#[derive(Clone)]
pub(crate) enum Location {
    /// A file, by its absolute path.
    Sqlite(PathBuf),
    /// A broker. The URL holds a password.
    Amqp(Box<AMQPUri>),
}

/// How a consumer takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Messages in hand at once: the one being worked on, and those that wait for it in this process.
    pub prefetch: u16,
}

impl QueueConfig {
    /// Reads `MESH_QUEUE_URL`: `sqlite://<path>`, by default `.mesh/queue.db`, or `amqp://…`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.secret_url(URL, DEFAULT_URL, &["sqlite", "amqp"]);
        let location = parse(url.expose()).unwrap_or_else(|problem| {
            if let Some(reason) = problem {
                // What is wrong may be the password, so none of the URL is shown.
                reader.reject(URL, "***", reason);
            }
            Location::Sqlite(PathBuf::new())
        });
        Self {
            location,
            lease: LEASE,
        }
    }

    /// For looking at messages that somebody else has published: with room for any headers that a broker holds, as consumers
    /// have it and publishers do not.
    #[must_use]
    pub fn for_any_message(mut self) -> Self {
        if let Location::Amqp(uri) = &mut self.location {
            make_room(uri);
        }
        self
    }

    /// For tests that kill a consumer of the embedded queue and do not want to wait for as long as users do.
    #[doc(hidden)]
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }
}

impl ConsumerConfig {
    /// Reads `MESH_PREFETCH`, by default 10.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let prefetch = reader.count(PREFETCH, DEFAULT_PREFETCH, 1..=MOST_IN_HAND);
        Self {
            prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
        }
    }
}

/// The location; or what is wrong with a URL of a known scheme; or nothing, when the scheme was refused already.
fn parse(url: &str) -> Result<Location, Option<&'static str>> {
    match url.split_once(':') {
        Some(("sqlite", _)) => parse_sqlite(url).map_err(Some),
        Some(("amqp", _)) => parse_amqp(url).map_err(Some),
        _ => Err(None),
    }
}

fn parse_sqlite(url: &str) -> Result<Location, &'static str> {
    const FORM: &str = "must be sqlite://<path of a file>, without parameters";
    let options: SqliteConnectOptions = url.parse().map_err(|_| FORM)?;
    let path: &Path = options.get_filename();
    let in_memory = url.contains(":memory:");
    if !url.starts_with("sqlite://")
        || url.contains('?')
        || in_memory
        || path.as_os_str().is_empty()
    {
        return Err(FORM);
    }
    let path = std::path::absolute(path).map_err(|_| FORM)?;
    Ok(Location::Sqlite(path))
}

fn parse_amqp(url: &str) -> Result<Location, &'static str> {
    const FORM: &str = "must be amqp://<user>:<password>@<host>:<port>/<virtual host>";
    if !url.starts_with("amqp://") {
        return Err(FORM);
    }
    let uri: AMQPUri = url.parse().map_err(|_| FORM)?;
    Ok(Location::Amqp(Box::new(uri)))
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Amqp(_) => f.debug_tuple("Amqp").field(&"***").finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_config::{Section, load};

    use super::*;

    struct Both(QueueConfig, ConsumerConfig);

    impl Section for Both {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self(QueueConfig::read(reader), ConsumerConfig::read(reader))
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Both, String> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(&pairs.collect::<BTreeMap<_, _>>())
            .map(|loaded| loaded.config)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn without_settings_the_queue_is_a_file_and_ten_messages_are_in_hand() {
        let Both(queue, consumer) = read(&[]).unwrap();
        let Location::Sqlite(path) = queue.location else {
            panic!("a broker is no default");
        };
        assert!(path.is_absolute() && path.ends_with(".mesh/queue.db"));
        assert_eq!(consumer.prefetch, 10);
    }

    #[test]
    fn a_broker_has_a_host_a_port_and_a_virtual_host() {
        let Both(queue, consumer) = read(&[
            (URL, "amqp://shop:hunter2@rabbitmq:5673/mesh"),
            (PREFETCH, "3"),
        ])
        .unwrap();
        assert!(!format!("{queue:?}").contains("hunter2"));
        let Location::Amqp(uri) = queue.location else {
            panic!("it is a broker");
        };
        assert_eq!((uri.authority.port, uri.vhost.as_str()), (5673, "mesh"));
        assert_eq!(consumer.prefetch, 3);
    }

    #[test]
    fn what_is_no_queue_is_refused_without_showing_it() {
        for url in [
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://queue.db?mode=ro",
            "amqp:hunter2",
            "amqp://shop:hunter2@rabbitmq:port/mesh",
        ] {
            let problems = read(&[(URL, url)]).err().expect(url);
            assert_eq!(problems.lines().count(), 1, "{problems}");
            assert!(
                problems.starts_with("MESH_QUEUE_URL=\"***\": must be "),
                "{problems}"
            );
        }
        for (name, value) in [(URL, "redis://x"), (PREFETCH, "0"), (PREFETCH, "many")] {
            assert!(read(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
