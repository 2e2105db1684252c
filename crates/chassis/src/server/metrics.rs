//! The server's metrics. Handles are looked up once per route, method and outcome, not once per request.

use std::{sync::OnceLock, time::Duration};

use mesh_context::GRPC_CODES;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use tonic::Code;

use super::code;

/// Seconds; 0.3 and 5 are promises (a read's try, a customer's patience), the rest is even steps on a logarithm.
const BOUNDS: [f64; 15] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0,
];

/// The HTTP statuses whose counters are worth a slot; others are looked up each time.
const STATUSES: [u16; 20] = [
    200, 201, 202, 204, 304, 400, 402, 404, 405, 408, 409, 413, 415, 422, 499, 500, 501, 502, 503,
    504,
];

/// All of the server's metrics.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) shed: IntCounter,
    pub(crate) deadline_malformed: IntCounter,
    pub(crate) trace_conflict: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "http_requests_total",
                    "Requests answered, and those whose caller went away.",
                ),
                &["method", "route", "status", "grpc_status"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "http_request_duration_seconds",
                    "From the headers' arrival to the answer's last frame.",
                )
                .buckets(BOUNDS.to_vec()),
                &["method", "route"],
            )?,
            in_flight: IntGauge::new(
                "http_requests_in_flight",
                "Requests being worked on; at most the concurrency limit.",
            )?,
            shed: IntCounter::new(
                "http_requests_shed_total",
                "Requests turned away because the process was full.",
            )?,
            deadline_malformed: IntCounter::new(
                "deadline_header_malformed_total",
                "Requests whose grpc-timeout could not be read.",
            )?,
            trace_conflict: IntCounter::new(
                "trace_context_conflict_total",
                "Requests whose W3C and B3 headers disagreed.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.shed.clone()))?;
        registry.register(Box::new(metrics.deadline_malformed.clone()))?;
        registry.register(Box::new(metrics.trace_conflict.clone()))?;
        Ok(metrics)
    }

    /// The handles of one method on one route.
    pub(crate) fn series(&self, method: &'static str, route: &str) -> Series {
        Series {
            requests: self.requests.clone(),
            method,
            route: route.to_owned(),
            duration: self.duration.with_label_values(&[method, route]),
            by_code: Default::default(),
            by_status: Default::default(),
        }
    }
}

/// The handles of one method on one route; a counter appears with its first request.
pub(crate) struct Series {
    requests: IntCounterVec,
    method: &'static str,
    route: String,
    duration: Histogram,
    by_code: [OnceLock<IntCounter>; GRPC_CODES.len()],
    by_status: [OnceLock<IntCounter>; STATUSES.len()],
}

impl Series {
    /// Counts one finished request.
    pub(crate) fn observe(&self, status: u16, code: Option<Code>, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
        let slot = match code {
            Some(code) if status == 200 => self.by_code.get(code as usize),
            Some(_) => None,
            None => STATUSES
                .iter()
                .position(|known| *known == status)
                .and_then(|at| self.by_status.get(at)),
        };
        match slot {
            Some(slot) => slot.get_or_init(|| self.counter(status, code)).inc(),
            None => self.counter(status, code).inc(),
        }
    }

    fn counter(&self, status: u16, code: Option<Code>) -> IntCounter {
        let status = status.to_string();
        let code = code.map_or("", code::name);
        self.requests
            .with_label_values(&[self.method, &self.route, &status, code])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_counted_under_its_own_labels() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let series = metrics.series("POST", "/a.B/C");
        series.observe(200, Some(Code::Ok), Duration::from_millis(2));
        series.observe(200, Some(Code::Ok), Duration::from_millis(2));
        series.observe(200, Some(Code::Cancelled), Duration::ZERO);
        series.observe(499, Some(Code::Cancelled), Duration::ZERO);
        series.observe(404, None, Duration::ZERO);
        series.observe(418, None, Duration::ZERO);
        let count = |status, code| {
            let labels = ["POST", "/a.B/C", status, code];
            metrics.requests.with_label_values(&labels).get()
        };
        assert_eq!(count("200", "OK"), 2);
        assert_eq!(count("200", "CANCELLED"), 1);
        assert_eq!(count("499", "CANCELLED"), 1);
        assert_eq!(count("404", ""), 1);
        assert_eq!(count("418", ""), 1);
        assert_eq!(series.duration.get_sample_count(), 6);
    }

    #[test]
    fn the_promised_bounds_are_there() {
        assert!(BOUNDS.is_sorted() && BOUNDS[0] == 0.001 && BOUNDS[BOUNDS.len() - 1] == 10.0);
        assert!(BOUNDS.contains(&0.3) && BOUNDS.contains(&5.0));
    }
}
