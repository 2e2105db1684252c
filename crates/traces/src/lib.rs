//! Receives spans by OTLP, keeps the newest traces in bounded memory, and shows what happened to a request.
//!
//! ```text
//!  processes ──OTLP/gRPC──► Receiver ──► Store ──► Summary, Trace
//!                              │          cut ─► packed ─► ring, bounded in bytes: the oldest trace makes room
//!                              └─ Forward ──► another collector gets the same requests
//! ```
//!
//! What is kept are a stranger's words: names, attributes and times may be anything. Texts are cut to a length, parents
//! that are missing or go round in a circle still make a tree, and nothing here panics over a span. Whoever shows them
//! escapes them.

mod critical;
mod cut;
mod digest;
mod filter;
mod forward;
mod id;
mod model;
mod nanos;
mod packed;
mod receiver;
mod ring;
mod rows;
mod store;
mod tree;

pub use self::{
    filter::Filter,
    forward::{BadEndpoint, Forward, Forwarding, Health},
    id::{BadTraceId, TraceId},
    model::{Event, Kind, SpanRow, Stats, Summary, Trace},
    receiver::Receiver,
    store::Store,
};
