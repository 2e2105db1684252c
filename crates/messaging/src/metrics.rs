//! What is counted of messages. The one label, `queue`, is known at start.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use crate::topology::QUEUE;

/// Seconds. Work on a message takes milliseconds, but it is held for as long as a peer is away.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked,
    DeadLettered,
    Released,
    /// Not settled, or too late: the message comes again.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) published: IntCounter,
    acked: IntCounter,
    dead_lettered: IntCounter,
    released: IntCounter,
    lost: IntCounter,
    pub(crate) duration: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let published = IntCounterVec::new(
            Opts::new(
                "queue_messages_published_total",
                "Messages that the queue has confirmed.",
            ),
            &["queue"],
        )?;
        let consumed = IntCounterVec::new(
            Opts::new(
                "queue_messages_consumed_total",
                "Deliveries that ended, by how: acked, dead_lettered, released, lost.",
            ),
            &["queue", "outcome"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "queue_message_duration_seconds",
                "From the moment a message was handed to the worker until it was settled.",
            )
            .buckets(BOUNDS.to_vec()),
            &["queue"],
        )?;
        registry.register(Box::new(published.clone()))?;
        registry.register(Box::new(consumed.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        let consumed = |outcome: &str| consumed.with_label_values(&[QUEUE, outcome]);
        Ok(Self {
            published: published.with_label_values(&[QUEUE]),
            acked: consumed("acked"),
            dead_lettered: consumed("dead_lettered"),
            released: consumed("released"),
            lost: consumed("lost"),
            duration: duration.with_label_values(&[QUEUE]),
        })
    }

    pub(crate) fn consumed(&self, outcome: Outcome) -> &IntCounter {
        match outcome {
            Outcome::Acked => &self.acked,
            Outcome::DeadLettered => &self.dead_lettered,
            Outcome::Released => &self.released,
            Outcome::Lost => &self.lost,
        }
    }
}
