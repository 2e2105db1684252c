//! One log line per request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tracing::Level;

use super::{Format, Lines};
use crate::server::{AccessEntry, AccessLog};

/// The target of access lines, for `RUST_LOG`: `info,access=off`.
pub(super) const ACCESS_TARGET: &str = "access";

/// Writes access lines among the others.
#[derive(Debug)]
pub(crate) struct AccessLines {
    lines: Lines,
    format: Format,
    enabled: Arc<AtomicBool>,
}

impl AccessLines {
    pub(super) fn new(lines: Lines, format: Format, enabled: Arc<AtomicBool>) -> Self {
        Self {
            lines,
            format,
            enabled,
        }
    }
}

impl AccessLog for AccessLines {
    fn write(&self, entry: &AccessEntry<'_>) {
        if !self.enabled.load(Ordering::Relaxed) {
            return;
        }
        self.lines
            .push(&line(&self.format, SystemTime::now(), entry));
    }
}

/// The line about one request; `duration` is in seconds, as in the metrics.
pub(crate) fn line(format: &Format, time: SystemTime, entry: &AccessEntry<'_>) -> Vec<u8> {
    let AccessEntry {
        context,
        method,
        route,
        status,
        grpc_status,
        duration,
    } = entry;
    let mut line = format.line(time, Level::INFO, ACCESS_TARGET, "request");
    line.text("trace_id", context.trace_id());
    line.text("span_id", context.span_id());
    line.text("request_id", context.request_id());
    line.text("method", method);
    line.text("route", route);
    line.bare("status", status);
    if !grpc_status.is_empty() {
        line.text("grpc_status", grpc_status);
    }
    line.bare("duration", format_args!("{:.6}", duration.as_secs_f64()));
    line.end()
}
