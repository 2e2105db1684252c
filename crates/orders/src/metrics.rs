//! How far the outbox is behind. The label `queue` is known at start.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use mesh_messaging::topology::QUEUE;

/// Every replica shows the same: the outbox is theirs together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) pending: IntGauge,
    pub(crate) lag: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let pending = IntGaugeVec::new(
            Opts::new(
                "outbox_pending",
                "Messages recorded and not published yet, of all replicas together.",
            ),
            &["queue"],
        )?;
        let lag = GaugeVec::new(
            Opts::new(
                "outbox_lag_seconds",
                "Age of the oldest message that is not published yet.",
            ),
            &["queue"],
        )?;
        registry.register(Box::new(pending.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        Ok(Self {
            pending: pending.with_label_values(&[QUEUE]),
            lag: lag.with_label_values(&[QUEUE]),
        })
    }
}
