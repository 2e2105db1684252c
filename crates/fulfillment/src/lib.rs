//! Fulfils confirmed orders from the queue: sells the pieces, marks the order.
//!
//! ```text
//!  queue ─► order.confirmed ─► work ─► inventory  Commit ─► orders  MarkFulfilled ─► ack
//!                                        │                    │
//!                                        ├ cancelled: ack     ├ refused for good: dead letter
//!                                        └────────────────────┴ away: hold, take nothing else, try again
//! ```
//!
//! It keeps no state. Both calls are keyed by the message's id, so that a message may come twice, to two replicas at once,
//! or again after a crash anywhere in between. Commit comes first: inventory decides between it and the `Release` of a
//! customer who cancels at the same time.

mod app;
mod config;
mod consumer;
mod crash_points;
mod error;
mod peers;

use mesh_chassis::{BoxError, Defaults, Inbound, Process, Runtime};

pub use config::Config;
pub use peers::{INVENTORY, ORDERS};

/// The process.
#[derive(Debug)]
pub struct Fulfillment;

impl Process for Fulfillment {
    const NAME: &'static str = "fulfillment";
    const DEFAULTS: Defaults = Defaults {
        listen: None,
        request_timeout: config::MESSAGE_TIMEOUT,
        edge: false,
    };
    const CRASH_POINTS: &'static [&'static str] = crash_points::ALL;
    type Config = Config;

    fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        app::build(config, runtime)
    }
}
