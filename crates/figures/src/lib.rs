//! What processes say of themselves at `/metrics`, as rates, percentiles and states.
//!
//! ```text
//!  Admin ──GET──► /metrics ─► Metrics ─┐ one second apart
//!    │            /metrics ─► Metrics ─┴► Figures::between ─► rate, errors, p95, in flight, memory, calls to each peer
//!    └─────GET──► /readyz  ─► Readiness
//! ```
//!
//! It depends on nothing of ours: the names of metrics are what the processes promise to whoever looks from outside.
//!
//! An **error** is a request that ended otherwise than the process should have let it end:
//!
//! - over HTTP a status from 500 on;
//! - over gRPC `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`, which OpenTelemetry
//!   counts against the server, and `RESOURCE_EXHAUSTED`, which here says that a process was full, as 503 does;
//! - a call to a peer that ended with one of these codes, or was not started at all;
//! - a message that was dead-lettered or lost.
//!
//! What a caller did wrong or gave up (`NOT_FOUND`, `CANCELLED`, 404, 499) is none. Health checks and reflection are no
//! requests: a mesh that nobody uses stands at 0.

mod admin;
mod figures;
mod metrics;
mod quantile;
mod text;

pub use self::{
    admin::{Admin, Error, Readiness},
    figures::{Call, Figures},
    metrics::Metrics,
    text::ParseError,
};
