//! The service over its gRPC methods, with fake peers behind real sockets, on each database.

#![expect(clippy::unwrap_used, reason = "a test may panic, and says where")]

mod cancelling;
mod fakes;
mod fulfilling;
mod listing;
mod outages;
mod placing;
mod reconciling;
mod unknown_outcomes;
mod wiring;
mod world;
