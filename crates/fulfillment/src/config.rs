//! Settings of fulfillment.

use std::time::Duration;

use mesh_client::{DownstreamConfig, Peer};
use mesh_config::{Reader, Section, format_duration};
use mesh_messaging::{ConsumerConfig, QueueConfig};

use crate::peers::{INVENTORY, ORDERS};

/// The longest one message is worked on at a time.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

const WORK_TIME: &str = "MESH_WORK_TIME";
const DEFAULT_WORK_TIME: Duration = Duration::from_millis(50);
/// Messages are worked on one at a time, and so are calls made.
const CALLS_AT_ONCE: usize = 1;

/// Where the queue and the peers are, and how much work a message is.
#[derive(Debug)]
pub struct Config {
    pub(crate) queue: QueueConfig,
    pub(crate) consumer: ConsumerConfig,
    /// Pretended work on each message.
    pub(crate) work_time: Duration,
    pub(crate) inventory: DownstreamConfig,
    pub(crate) orders: DownstreamConfig,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        let queue = QueueConfig::read(reader);
        let consumer = ConsumerConfig::read(reader);
        let work_time = reader.duration(WORK_TIME, DEFAULT_WORK_TIME);
        // The chassis's, which knows nothing of work.
        let limit = reader.duration("MESH_REQUEST_TIMEOUT", MESSAGE_TIMEOUT);
        if work_time >= limit {
            let shown = format_duration(work_time);
            let limit = format_duration(limit);
            let reason = format!("must be shorter than MESH_REQUEST_TIMEOUT ({limit})");
            reader.reject(WORK_TIME, &shown, reason);
        }
        let mut peer =
            |peer: &'static Peer| DownstreamConfig::read_with(reader, peer, CALLS_AT_ONCE);
        Self {
            queue,
            consumer,
            work_time,
            inventory: peer(&INVENTORY),
            orders: peer(&ORDERS),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_config::load;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load::<Config>(&pairs.collect::<BTreeMap<_, _>>())
            .map(|loaded| loaded.config)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_message_is_50_ms_of_work_and_its_calls_are_made_one_by_one() {
        let config = read(&[]).unwrap();
        assert_eq!(config.work_time, Duration::from_millis(50));
        assert_eq!(config.consumer.prefetch, 10);
        assert_eq!(config.inventory.timeout, Duration::from_millis(650));
        assert_eq!(config.orders.timeout, Duration::from_millis(950));
        assert_eq!(config.orders.max_in_flight, 1);
    }

    #[test]
    fn work_that_cannot_be_done_in_time_is_refused() {
        let problem = read(&[(WORK_TIME, "30s")]).unwrap_err();
        assert_eq!(
            problem,
            r#"MESH_WORK_TIME="30s": must be shorter than MESH_REQUEST_TIMEOUT (30s)"#
        );
        assert!(read(&[(WORK_TIME, "30s"), ("MESH_REQUEST_TIMEOUT", "31s")]).is_ok());
    }
}
