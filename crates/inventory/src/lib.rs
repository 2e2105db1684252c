//! The catalogue and the stock: what there is, what is set aside for an order, what is sold.
//!
//! ```text
//!              Reserve (orders)                  Commit (fulfillment)
//!  available ────────────────────► reserved ──────────────────────────► committed: sold, for good
//!      ▲                              │
//!      └──────────────────────────────┘ Release (orders)
//!                 released: a tombstone, also when nothing was reserved yet; a late Reserve is refused
//! ```
//!
//! A reservation never expires here: only orders knows what was paid. Which of `Commit` and `Release` came first is decided
//! by one conditional `UPDATE` of the reservation's row. Stock is taken with conditional `UPDATE`s in the order of the skus,
//! so that it is never negative and two orders never wait for each other.

mod app;
mod catalogue;
mod config;
mod crash_points;
mod error;
mod grpc;
mod page;
mod reservation;
mod store;

use std::time::Duration;

use mesh_chassis::{BoxError, Defaults, Inbound, Process, Runtime};

/// A product that every new store has, for examples.
pub const EXAMPLE_SKU: &str = catalogue::SEEDS[0].sku;

/// The process `inventory`.
#[derive(Debug)]
pub struct Inventory;

impl Process for Inventory {
    const NAME: &'static str = "inventory";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("0.0.0.0:50051"),
        request_timeout: Duration::from_secs(1),
        edge: false,
    };
    const CRASH_POINTS: &'static [&'static str] = crash_points::ALL;
    type Config = config::Config;

    fn build(config: config::Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        Ok(app::build(config, runtime))
    }
}
