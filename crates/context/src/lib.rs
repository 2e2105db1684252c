//! What travels with a request: trace headers, request id, deadline. No transport.
//!
//! The inbound side of a process (`mesh-chassis`, `mesh-messaging`) makes a [`RequestContext`] from what arrived; the
//! outbound side (`mesh-client`, `mesh-messaging`) writes it onto what is sent. In between a service only passes it on:
//! a downstream stub cannot be had without one, so neither headers nor deadline can be forgotten.
//!
//! ```text
//!            headers + Policy                 RequestContext                       headers
//!  inbound ───────────────────► accept() ───────────────────────► write_headers() ─────────► outbound
//!                                  │    request id, trace, baggage        │ of the current span,
//!                                  │    deadline (absolute)               │ or copied as received
//!                                  └ Accepted: what was malformed         └ Deadline::outbound(): strictly shorter
//! ```
//!
//! With spans of our own (an exporter is set) W3C and B3 are written from the current span; without, headers are copied
//! as received. Callers do not see the difference.
//!
//! ```
//! use std::time::Duration;
//! use http::HeaderMap;
//! use mesh_context::{Policy, accept};
//!
//! let mut inbound = HeaderMap::new();
//! inbound.insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?);
//! inbound.insert("cookie", "secret".parse()?);
//! let context = accept(&inbound, &Policy::inside(Duration::from_secs(1))).context;
//!
//! let mut outbound = HeaderMap::new();
//! context.write_headers(&mut outbound, context.child_span());
//! assert_eq!(outbound["traceparent"], inbound["traceparent"]);
//! assert!(outbound.contains_key("x-request-id") && !outbound.contains_key("cookie"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod b3;
mod baggage;
mod code;
mod context;
mod deadline;
mod ids;
mod policy;
mod request_id;
mod sampler;
mod span;
mod w3c;

pub use accept::{Accepted, accept};
pub use code::GRPC_CODES;
pub use context::RequestContext;
pub use deadline::{Deadline, MalformedTimeout, format_grpc_timeout, parse_grpc_timeout};
pub use ids::{SpanId, TraceId};
pub use policy::{Formats, Policy, UnknownPropagator};
pub use request_id::RequestId;
pub use sampler::{Sampler, UnknownSampler};
pub use span::{Event, Span, SpanKind, SpanSink, Value};

/// Names of the headers this crate reads and writes, lower case.
pub mod header {
    /// Correlates the log lines of one request; Envoy keeps its sampling decision at index 14.
    pub const REQUEST_ID: &str = "x-request-id";
    /// W3C Trace Context: version, trace id, parent id, flags.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C Trace Context: vendor data.
    pub const TRACESTATE: &str = "tracestate";
    /// W3C Baggage.
    pub const BAGGAGE: &str = "baggage";
    /// B3, all in one header.
    pub const B3: &str = "b3";
    /// B3, one header each: the trace id.
    pub const B3_TRACE_ID: &str = "x-b3-traceid";
    /// B3, one header each: the span id.
    pub const B3_SPAN_ID: &str = "x-b3-spanid";
    /// B3, one header each: the parent's span id.
    pub const B3_PARENT_SPAN_ID: &str = "x-b3-parentspanid";
    /// B3, one header each: the sampling decision.
    pub const B3_SAMPLED: &str = "x-b3-sampled";
    /// B3, one header each: `1` for debug.
    pub const B3_FLAGS: &str = "x-b3-flags";
    /// Lightstep's context, copied as it is.
    pub const OT_SPAN_CONTEXT: &str = "x-ot-span-context";
    /// How long the caller waits: up to 8 digits and a unit (gRPC over HTTP/2).
    pub const GRPC_TIMEOUT: &str = "grpc-timeout";
}

/// What spans say of their deadline: names that no semantic convention has.
pub mod budget {
    /// Attribute of server, client and consumer spans: so many milliseconds the work had when it began. Of a client span
    /// it is what the peer is told.
    pub const REMAINING: &str = "mesh.deadline.remaining_ms";
    /// Attribute of client spans: the most that this call gets, however much its caller has left, in milliseconds.
    pub const CAP: &str = "mesh.deadline.cap_ms";
    /// Event: the time was up, and the work was cut.
    pub const EXCEEDED: &str = "mesh.deadline.exceeded";
    /// Event: the peer has not seen this call.
    pub const NOT_STARTED: &str = "mesh.call.not_started";
    /// Attribute of that event: `deadline`, `bulkhead` or `connection`.
    pub const REASON: &str = "reason";
}
