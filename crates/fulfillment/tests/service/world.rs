//! Processes of fulfillment on one queue, and their peers.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use mesh_chassis::{Process as _, testing::TestRuntime};
use mesh_context::Policy;
use mesh_fulfillment::{Config, Fulfillment};
use mesh_messaging::{
    Depth,
    testing::{LIMIT, Place, Process},
};
use tokio::time::{Instant, sleep};

use crate::peers::Peers;

/// A queue, somebody who publishes, and the peers.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) publisher: Process,
    pub(crate) peers: Peers,
    pub(crate) address: SocketAddr,
}

impl World {
    pub(crate) async fn new(place: Place) -> Self {
        let peers = Peers::default();
        Self {
            publisher: place.process().await,
            address: peers.serve().await,
            place,
            peers,
        }
    }

    /// A process with this much work on each message.
    pub(crate) fn start(&self, work_time: &str, prefetch: u16) -> TestRuntime {
        self.start_with_peers_at(self.address, work_time, prefetch)
    }

    pub(crate) fn start_with_peers_at(
        &self,
        address: SocketAddr,
        work_time: &str,
        prefetch: u16,
    ) -> TestRuntime {
        let settings = [
            ("MESH_QUEUE_URL", self.place.url().to_owned()),
            ("MESH_INVENTORY_URL", format!("http://{address}")),
            ("MESH_ORDERS_URL", format!("http://{address}")),
            ("MESH_WORK_TIME", work_time.to_owned()),
            ("MESH_PREFETCH", prefetch.to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let loaded = mesh_config::load::<Config>(&BTreeMap::from(settings)).unwrap();
        let test = TestRuntime::with_policy(Policy::inside(Duration::from_secs(30)));
        Fulfillment::build(loaded.config, test.runtime()).unwrap();
        test
    }

    /// Waits until nothing is left to do and so many are dead.
    pub(crate) async fn done(&self, dead: u64) {
        let depth = Depth { ready: 0, dead };
        let queue = &self.publisher.queue;
        until("the queue", depth, async || queue.depth().await.unwrap()).await;
    }
}

/// How many deliveries of a process ended like this.
pub(crate) fn ended(test: &TestRuntime, outcome: &str) -> u64 {
    let labels = format!("outcome=\"{outcome}\"");
    let metrics = test.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("queue_messages_consumed_total") && line.contains(&labels));
    let (_, value) = line.unwrap().rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

/// Waits until something is as expected.
pub(crate) async fn until<T: PartialEq + fmt::Debug>(
    what: &str,
    expected: T,
    mut look: impl AsyncFnMut() -> T,
) {
    let end = Instant::now() + LIMIT;
    loop {
        let found = look().await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < end, "{what}: {found:?}, not {expected:?}");
        sleep(Duration::from_millis(5)).await;
    }
}
