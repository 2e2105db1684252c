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
    pub(crate) fn new(lines: Lines, format: Format, enabled: Arc<AtomicBool>) -> Self {
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
    let (seconds, micros) = (duration.as_secs(), duration.subsec_micros());
    line.bare("duration", format_args!("{seconds}.{micros:06}"));
    line.end()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_context::{Policy, accept};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_request_is_one_line_with_the_ids_that_find_it_elsewhere() {
        let policy = Policy::inside(Duration::from_secs(1));
        let context = accept(&http::HeaderMap::new(), &policy).context;
        let mut entry = AccessEntry {
            context: &context,
            method: "POST",
            route: "/shop.orders.v1.OrdersService/PlaceOrder",
            status: 200,
            grpc_status: "DEADLINE_EXCEEDED",
            duration: Duration::from_micros(4_600_007),
        };
        let format = Format::json("orders");
        let written = line(&format, SystemTime::now(), &entry);
        let written: Value = serde_json::from_slice(&written).unwrap();
        for (key, value) in [
            ("level", Value::from("INFO")),
            ("service", Value::from("orders")),
            ("trace_id", Value::from(context.trace_id().to_string())),
            ("span_id", Value::from(context.span_id().to_string())),
            ("request_id", Value::from(context.request_id().to_string())),
            ("method", Value::from("POST")),
            ("route", Value::from(entry.route)),
            ("status", Value::from(200)),
            ("grpc_status", Value::from("DEADLINE_EXCEEDED")),
            ("duration", Value::from(4.600_007)),
        ] {
            assert_eq!(written[key], value, "{key}");
        }
        entry.grpc_status = "";
        let plain = line(&format, SystemTime::now(), &entry);
        let plain: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(plain.get("grpc_status"), None);
    }
}
