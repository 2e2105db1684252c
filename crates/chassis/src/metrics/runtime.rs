//! `tokio_*` and `runtime_worker_threads`: how busy the main runtime is, read when somebody asks.

use prometheus::{
    Counter, IntGauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::runtime::RuntimeMetrics;

pub(super) fn register(
    registry: &Registry,
    runtime: RuntimeMetrics,
) -> Result<(), prometheus::Error> {
    let workers = IntGauge::new(
        "runtime_worker_threads",
        "Worker threads of the main runtime.",
    )?;
    workers.set(gauge(runtime.num_workers()));
    registry.register(Box::new(workers))?;
    registry.register(Box::new(Tokio::new(runtime)?))
}

struct Tokio {
    runtime: RuntimeMetrics,
    tasks: IntGauge,
    queued: IntGauge,
    busy: Counter,
    parks: Counter,
}

impl Tokio {
    fn new(runtime: RuntimeMetrics) -> Result<Self, prometheus::Error> {
        Ok(Self {
            runtime,
            tasks: IntGauge::new("tokio_alive_tasks", "Tasks that have not ended.")?,
            queued: IntGauge::new(
                "tokio_global_queue_depth",
                "Tasks that wait for any worker.",
            )?,
            busy: Counter::new(
                "tokio_busy_seconds_total",
                "Time that all workers spent polling tasks.",
            )?,
            parks: Counter::new("tokio_parks_total", "How often a worker had nothing to do.")?,
        })
    }
}

impl Collector for Tokio {
    fn desc(&self) -> Vec<&Desc> {
        let Self {
            runtime: _,
            tasks,
            queued,
            busy,
            parks,
        } = self;
        [tasks.desc(), queued.desc(), busy.desc(), parks.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Self {
            runtime,
            tasks,
            queued,
            busy,
            parks,
        } = self;
        let workers = 0..runtime.num_workers();
        tasks.set(gauge(runtime.num_alive_tasks()));
        queued.set(gauge(runtime.global_queue_depth()));
        let busy_now: f64 = workers
            .clone()
            .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64())
            .sum();
        advance(busy, busy_now);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        advance(
            parks,
            workers
                .map(|worker| runtime.worker_park_count(worker))
                .sum::<u64>() as f64,
        );
        [
            tasks.collect(),
            queued.collect(),
            busy.collect(),
            parks.collect(),
        ]
        .concat()
    }
}

/// Brings a counter up to a total that is counted elsewhere. Two scrapes at once may both see the same step; it is
/// never taken back, so the counter would be ahead for one scrape and then wait.
fn advance(counter: &Counter, total: f64) {
    counter.inc_by((total - counter.get()).max(0.0));
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
