//! The HTTP edge of the shop: JSON over HTTP in, gRPC out.
//!
//! ```text
//!  request ─► chassis (context, limits, deadline, metrics)
//!              └► http          which route; ids in the path, bodies, keys, cookies: all that is wrong with a request
//!                  ├► cart, order, product, money     what is meant: typed values that cannot be wrong
//!                  ├► session     whose cart it is                       (memory of this process, or Redis)
//!                  └► peers       orders and inventory, one method a call
//!                      └► error   what became of it, as a problem for the customer
//! ```
//!
//! It holds no rules of the shop: what is in stock, what an order costs and whether it was placed before are for
//! inventory and orders to say. The interface is described at `/openapi.json`, from the same declarations that make the
//! routes.

mod app;
mod cart;
mod config;
mod error;
mod http;
mod money;
mod order;
mod peers;
mod product;
mod session;

pub use app::Gateway;
pub use config::Config;
pub use peers::{INVENTORY, ORDERS};
