//! What is counted of calls. Handles are resolved once per method and code, not per call.

use std::{sync::OnceLock, time::Duration};

use mesh_context::GRPC_CODES;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    core::Collector,
};
use tonic::Code;

use crate::Peer;

/// Upper bounds in seconds; the same as those of the server side.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Metrics of the calls to one peer.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    /// By index of the declared call, then by code.
    outcomes: Vec<[OnceLock<(IntCounter, Histogram)>; GRPC_CODES.len()]>,
    pub(crate) not_started_deadline: IntCounter,
    pub(crate) not_started_bulkhead: IntCounter,
}

impl Metrics {
    pub(crate) fn register(peer: &Peer, registry: &Registry) -> prometheus::Result<Self> {
        let labelled =
            |name: &str, help: &str| Opts::new(name, help).const_label("peer", peer.name);
        let requests = IntCounterVec::new(
            labelled(
                "client_requests_total",
                "Calls to peers that ended, by the code the caller saw.",
            ),
            &["method", "code"],
        )?;
        let mut histogram: HistogramOpts = labelled(
            "client_request_duration_seconds",
            "Time from a call to the end of its answer.",
        )
        .into();
        histogram = histogram.buckets(BUCKETS.to_vec());
        let durations = HistogramVec::new(histogram, &["method", "code"])?;
        let not_started = IntCounterVec::new(
            labelled(
                "client_calls_not_started_total",
                "Calls that were not made: too little time, or too many in flight.",
            ),
            &["reason"],
        )?;
        let collectors: [Box<dyn Collector>; 3] = [
            Box::new(requests.clone()),
            Box::new(durations.clone()),
            Box::new(not_started.clone()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        Ok(Self {
            outcomes: peer
                .calls
                .iter()
                .map(|_| std::array::from_fn(|_| OnceLock::new()))
                .collect(),
            not_started_deadline: not_started.with_label_values(&["deadline"]),
            not_started_bulkhead: not_started.with_label_values(&["bulkhead"]),
            requests,
            durations,
        })
    }

    /// Counts one call that ended; `index` and `method` are those of the declared call.
    pub(crate) fn record(&self, index: usize, method: &'static str, code: Code, time: Duration) {
        let number = usize::try_from(i32::from(code)).unwrap_or_default();
        let (count, duration) = self.outcomes[index][number].get_or_init(|| {
            let labels = [method, GRPC_CODES[number]];
            (
                self.requests.with_label_values(&labels),
                self.durations.with_label_values(&labels),
            )
        });
        count.inc();
        duration.observe(time.as_secs_f64());
    }
}
