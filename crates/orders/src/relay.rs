//! Publishes what the outbox holds. Every replica does: none takes what another is publishing.
//!
//! ```text
//!  confirmed order ─► woken ─┐
//!  every second ─────────────┴► take ─► publish all, each confirmed ─► mark ─► again while there is more
//! ```
//!
//! A message leaves the outbox only when the queue has it for good. While the queue is away nothing is taken and orders go
//! on being placed. A relay that dies after publishing and before marking makes a duplicate, which changes nothing.

use std::time::Duration;

use futures_util::future::join_all;
use mesh_chassis::{OnExit, Tasks, crash_point};
use mesh_context::Deadline;
use mesh_messaging::{Headers, Message, Queue};
use tokio::time::{sleep, timeout};

use crate::{
    clock::Clock,
    error::{Error, Result},
    metrics::Metrics,
    store::{OrderStore, Unpublished},
};

/// Messages published at a time.
const BATCH: usize = 100;
/// Looks for what other replicas left, and tries again what failed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longer than publishing may take with its confirmation, 5 s, and marking.
const TAKEN: Duration = Duration::from_secs(10);
/// For one transaction.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// The relay of one replica.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) store: OrderStore,
    pub(crate) queue: Queue,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
}

impl Relay {
    /// Starts to publish and to measure.
    pub(crate) fn start(self, metrics: Metrics) {
        let tasks = self.tasks.clone();
        let measured = self.clone().measure(metrics);
        tasks.spawn("outbox-metrics", OnExit::ShutDown, measured);
        tasks.spawn("relay", OnExit::ShutDown, self.run());
    }

    async fn run(self) {
        self.store.prepared().await;
        let mut connected = self.queue.connected();
        // An error: the driver has ended, and with it the process.
        while connected.wait_for(|connected| *connected).await.is_ok() {
            // Begun, a batch is published and marked even when the process stops.
            match self.tasks.finish("relay", self.clone().batch()).await {
                Ok(true) => {}
                Ok(false) => {
                    let _ = timeout(INTERVAL, self.store.message_recorded()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be published now");
                    sleep(INTERVAL).await;
                }
            }
        }
    }

    /// Whether there may be more.
    async fn batch(self) -> Result<bool> {
        let now = self.clock.now();
        let (most, until) = (i64::try_from(BATCH).unwrap_or(i64::MAX), now.plus(TAKEN));
        let limit = || Deadline::after(STORE_LIMIT);
        let taken = self.store.take_messages(most, now, until, limit());
        let messages = taken.await?;
        if messages.is_empty() {
            return Ok(false);
        }
        let outcomes = join_all(messages.iter().map(|message| self.publish(message))).await;
        let (mut published, mut left, mut failure) = (Vec::new(), Vec::new(), None);
        for (message, outcome) in messages.iter().zip(outcomes) {
            match outcome {
                Ok(()) => published.push(message.id.clone()),
                Err(error) => {
                    left.push(message.id.clone());
                    failure = Some(error);
                }
            }
        }
        let now = self.clock.now();
        let marked = self.store.mark_messages(&published, &left, now, limit());
        marked.await?;
        failure.map_or(Ok(messages.len() == BATCH), Err)
    }

    /// As a part of the trace of the request that caused it.
    async fn publish(&self, message: &Unpublished) -> Result<()> {
        let headers = Headers::from_json(&message.trace_headers);
        let message = Message::parse(message.payload.as_bytes())
            .map_err(|error| Error::corrupt("a message", error))?;
        crash_point("orders.publish.before");
        self.queue.publish(&message, &headers).await?;
        crash_point("orders.publish.after");
        Ok(())
    }

    async fn measure(self, metrics: Metrics) {
        self.store.prepared().await;
        loop {
            // Else the last figures stand: that the store is away is seen elsewhere.
            if let Ok(backlog) = self.store.backlog(Deadline::after(STORE_LIMIT)).await {
                metrics.pending.set(backlog.pending);
                metrics.lag.set(backlog.lag(self.clock.now()).as_secs_f64());
            }
            sleep(INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests;
