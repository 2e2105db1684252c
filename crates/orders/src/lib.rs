//! Places, shows and cancels orders: reserve, charge, confirm, with compensation.
//!
//! ```text
//!             PlaceOrder                              CancelOrder
//!                 │                                        │
//!   idempotency key, order ─────────┐                wish recorded
//!                 ▼                 │                      ▼
//!   inventory  Reserve              │ store    inventory  Release
//!                 ▼                 │                      ▼
//!   payments   Charge               │                 cancelled, refund due
//!                 ▼                 │                      ▼
//!   confirmed, answer, outbox ──────┘          payments   Refund
//!                   │
//!                   └─► relay ─► queue ─► fulfillment: Commit, MarkFulfilled
//! ```
//!
//! Everything that has to survive a crash is in the store before the next step is taken, so that whoever comes with the
//! same idempotency key can go on where a dead process stopped. Charges are keyed; what became of one that was not
//! answered is asked, never guessed.
//!
//! An order is visible to customers once its pieces are reserved, or could not be: before that it has no prices. One
//! that was out of stock never gets any, and shows amounts of 0.

mod app;
mod cancel;
mod charge;
mod clock;
mod compensate;
mod config;
mod crash_points;
mod error;
mod fulfil;
mod grpc;
mod hold;
mod lease;
mod metrics;
mod order;
mod outbox;
mod page;
mod peers;
mod place;
mod placement;
mod purge;
mod reconcile;
mod relay;
mod service;
mod store;
#[doc(hidden)]
pub mod testing;

use std::time::Duration;

use mesh_chassis::{BoxError, Defaults, Inbound, Process, Runtime};

pub use app::MIGRATIONS;
pub use clock::Clock;
pub use config::Config;
pub use peers::{INVENTORY, PAYMENTS};
pub use reconcile::Reconciler;
pub use service::Service;

/// The process.
#[derive(Debug)]
pub struct Orders;

impl Process for Orders {
    const NAME: &'static str = "orders";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("0.0.0.0:50051"),
        request_timeout: Duration::from_millis(4_600),
        edge: false,
    };
    const CRASH_POINTS: &'static [&'static str] = crash_points::ALL;
    type Config = Config;

    fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        app::build(config, runtime)
    }
}
