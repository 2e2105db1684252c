//! What the tests of this module share: a stack whose records can be looked at.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use mesh_context::{Policy, Sampler, Span, SpanSink};
use prometheus::Registry;

use super::{
    admission::Admission,
    http::Route,
    metrics::Metrics,
    record::{AccessEntry, AccessLog},
    request::{Protocol, Shared, Stack},
    routes::{Class, Routes},
};

/// What the process's limit on one request is in these tests.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// An HTTP/2 connection's first words: the preface and an empty SETTINGS frame.
pub(super) const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HEADERS on stream 1 which do not end with this frame; nothing but more of them may follow.
pub(super) const HALF: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x83";
pub(super) const RPC: &str = "/shop.a.v1.A/Do";

/// Keeps access lines and spans.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) spans: Mutex<Vec<Span>>,
}

impl AccessLog for Kept {
    fn write(&self, entry: &AccessEntry<'_>) {
        let AccessEntry {
            context: _,
            method,
            route,
            status,
            grpc_status,
            duration,
        } = entry;
        let millis = duration.as_millis();
        let line = format!("{method} {route} {status} {grpc_status} {millis}ms");
        self.lines.lock().unwrap().push(line);
    }
}

impl SpanSink for Kept {
    fn submit(&self, span: Span) {
        self.spans.lock().unwrap().push(span);
    }
}

/// How a stack is made, and what it leaves behind.
pub(super) struct Fixture {
    pub(super) protocol: Protocol,
    pub(super) policy: Policy,
    pub(super) concurrency: usize,
    pub(super) registry: Registry,
    pub(super) kept: Arc<Kept>,
}

impl Fixture {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            policy: Policy::inside(LIMIT),
            concurrency: 10,
            registry: Registry::new(),
            kept: Arc::default(),
        }
    }

    /// Every request is sampled.
    pub(super) fn sampled(mut self) -> Self {
        let sink: Arc<dyn SpanSink> = Arc::clone(&self.kept) as _;
        self.policy.spans = Some(sink);
        self.policy.sampler = Sampler::PARENT_BASED_ON;
        self
    }

    pub(super) fn stack<S>(&self, inner: S) -> Stack<S> {
        let routes = match self.protocol {
            Protocol::Http => Routes::http(vec![
                Route::new(Method::GET, "/orders/{id}").critical(),
                Route::new(Method::POST, "/orders"),
            ])
            .unwrap(),
            Protocol::Grpc => Routes::grpc([
                (RPC.to_owned(), Class::Normal),
                ("/grpc.health.v1.Health/Watch".to_owned(), Class::Health),
            ]),
        };
        let shared = Shared {
            protocol: self.protocol,
            admission: Admission::new(self.concurrency, routes.any_critical()),
            routes,
            policy: self.policy.clone(),
            metrics: Metrics::register(&self.registry).unwrap(),
            access_log: Arc::clone(&self.kept) as _,
        };
        Stack::new(inner, shared)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.kept.lines.lock().unwrap().clone()
    }

    /// A counter's or gauge's value, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let family = family.unwrap_or_else(|| panic!("no metric {name}"));
        let metrics = family.get_metric().iter();
        metrics
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

/// A request with nothing in it.
pub(super) fn request(protocol: Protocol) -> Request<Empty<Bytes>> {
    let request = match protocol {
        Protocol::Http => Request::get("/orders/7").header("host", "shop"),
        Protocol::Grpc => Request::post(RPC),
    };
    request.body(Empty::new()).unwrap()
}
