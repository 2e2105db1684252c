//! The service over its gRPC methods, with fake peers behind real sockets, on each database.

mod cancelling;
mod fakes;
mod listing;
mod outages;
mod placing;
mod unknown_outcomes;
mod wiring;
mod world;
