//! `process_*`: CPU, memory, file descriptors, threads, start time. From `/proc`, so on Linux only.

use prometheus::Registry;

#[cfg(target_os = "linux")]
pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn register(_: &Registry) -> Result<(), prometheus::Error> {
    Ok(())
}
