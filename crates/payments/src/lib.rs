//! Takes and gives back money, at most once per key.
//!
//! ```text
//!              ┌─ section, finished in any case ──┐
//!  Charge ─► started ─► provider.charge ─► outcome recorded         the record follows the provider:
//!  Refund ─────────────► provider.refund ─► outcome recorded          started ─► charged ─► refunded
//!  GetCharge ──────────► provider.find   ─► (when unfinished)         started ─► declined | voided | refunded
//!                                                                     (none)  ─► voided
//! ```
//!
//! Money moves at the provider alone, and the provider decides which of a charge and a refund of one key came first: after a
//! refund it takes nothing under that key. So it does not matter which replica does what, who is paused or who dies: the
//! record is written after the fact, by whoever hears of it first, and a record that is unfinished is a reason to ask.

mod app;
mod charge;
mod config;
mod crash_points;
mod error;
mod grpc;
mod provider;
mod service;
mod store;

use std::time::Duration;

use mesh_chassis::{BoxError, Defaults, Inbound, Process, Runtime};

/// The process `payments`.
#[derive(Debug)]
pub struct Payments;

impl Process for Payments {
    const NAME: &'static str = "payments";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("0.0.0.0:50051"),
        request_timeout: Duration::from_millis(3_400),
        edge: false,
    };
    const CRASH_POINTS: &'static [&'static str] = crash_points::ALL;
    type Config = config::Config;

    fn build(config: config::Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        Ok(app::build(config, runtime))
    }
}
