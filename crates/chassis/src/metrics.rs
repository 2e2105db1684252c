//! What every process measures of itself, and the bounds that all durations share.

mod build_info;
mod process;
mod runtime;

use prometheus::{IntCounter, Registry, register_int_counter_with_registry};
use tokio::runtime::Handle;

use crate::BoxError;

/// Bounds of every duration, in seconds: 1 ms to 10 s, with the shortest try (0.3) and the longest request (5) of the mesh.
pub const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Registers what does not depend on the process's business. `main` is the runtime that serves.
pub(crate) fn register(registry: &Registry, name: &str, main: &Handle) -> Result<(), BoxError> {
    build_info::register(registry, name)?;
    process::register(registry)?;
    runtime::register(registry, main.metrics())?;
    Ok(())
}

/// Spans that were made and did not reach the collector.
pub(crate) fn spans_dropped(registry: &Registry) -> Result<IntCounter, prometheus::Error> {
    register_int_counter_with_registry!(
        "spans_dropped_total",
        "Spans that found no room in the queue or no collector.",
        registry
    )
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[tokio::test]
    async fn what_every_process_measures_stands_there_from_the_start() {
        let registry = Registry::new();
        register(&registry, "orders", &Handle::current()).unwrap();
        spans_dropped(&registry).unwrap();
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            "build_info{name=\"orders\",revision=\"unknown\",version=\"",
            "runtime_worker_threads 1",
            "spans_dropped_total 0",
            "tokio_alive_tasks 0",
            "tokio_busy_seconds_total ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn bounds_rise() {
        assert!(DURATION_BUCKETS.is_sorted_by(|a, b| a < b));
    }
}
