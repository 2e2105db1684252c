//! How far the outbox and the reconciler are behind. The values of the labels are known at start.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use mesh_messaging::topology::QUEUE;

use crate::store::Work;

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

/// What the reconciler has left to do, in the order of [`Work::ALL`]. Every replica shows the same.
#[derive(Debug, Clone)]
pub(crate) struct WorkMetrics(pub(crate) [Left; 4]);

/// Of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    pub(crate) pending: IntGauge,
    pub(crate) lag: Gauge,
}

impl WorkMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let pending = IntGaugeVec::new(
            Opts::new(
                "reconcile_pending",
                "Orders that are not at rest, of all replicas together: payment open, cancel, refund or release due.",
            ),
            &["work"],
        )?;
        let lag = GaugeVec::new(
            Opts::new(
                "reconcile_lag_seconds",
                "For how long the oldest of them has not been at rest.",
            ),
            &["work"],
        )?;
        registry.register(Box::new(pending.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        Ok(Self(Work::ALL.map(|work| Left {
            pending: pending.with_label_values(&[work.name()]),
            lag: lag.with_label_values(&[work.name()]),
        })))
    }
}
