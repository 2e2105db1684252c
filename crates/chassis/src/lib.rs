//! All that a process needs that is not its business: lifecycle, admin endpoints, telemetry, server stack.
//!
//! A process implements [`Process`]: its name, its settings, and how its parts are wired. [`main`] does the rest.
//!
//! ```text
//!  main thread, control runtime                    worker threads, main runtime
//!  ┌──────────────────────────────┐                ┌───────────────────────────────────────────┐
//!  │ lifecycle: start, signals,   │── phases ─────►│ server: listener, request layer, handlers │
//!  │            drain, exit code  │◄─ heartbeat ───│ tasks: by name, with a rule for their end │
//!  │ admin: probes, metrics, …    │                │ sections: finished in any case            │
//!  │ span export                  │◄─ spans ───────│                                           │
//!  └──────────────────────────────┘                └───────────────────────────────────────────┘
//! ```
//!
//! ```no_run
//! use std::{process::ExitCode, time::Duration};
//! use mesh_chassis::{BoxError, Defaults, HttpInbound, Inbound, Process, Runtime};
//!
//! struct Hello;
//!
//! impl Process for Hello {
//!     const NAME: &'static str = "hello";
//!     const DEFAULTS: Defaults =
//!         Defaults { listen: Some("0.0.0.0:8080"), request_timeout: Duration::from_secs(5), edge: true };
//!     type Config = ();
//!
//!     fn build((): (), _: &Runtime) -> Result<Inbound, BoxError> {
//!         Ok(Inbound::Http(HttpInbound::new(axum::Router::new(), Vec::new())))
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     mesh_chassis::main::<Hello>(std::env::args().skip(1))
//! }
//! ```

pub mod admin;
mod config;
mod cpu;
mod crash_points;
mod health;
mod heartbeat;
mod lifecycle;
pub mod metrics;
mod process;
mod profile;
mod readiness;
mod runtime;
pub mod server;
mod shutdown;
mod signals;
mod tasks;
pub mod telemetry;
#[doc(hidden)]
pub mod testing;
mod version;

pub use crash_points::crash_point;
pub use process::{BoxError, Defaults, Process, main};
pub use readiness::{Blocker, Readiness};
pub use runtime::Runtime;
pub use server::{Context, GrpcInbound, HttpInbound, Inbound, Problem, Route};
pub use shutdown::Shutdown;
pub use tasks::{OnExit, Section, Tasks};
