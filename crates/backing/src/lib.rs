//! Real backing servers from installed binaries, for tests and for `mesh up --real`: PostgreSQL, RabbitMQ, Redis, etcd.
//!
//! Each runs on loopback with its data in a folder of ours, whatever the distribution's own service does. A shell keeps it and
//! reads our pipe to the end, so that no server outlives us, however we end.
//!
//! ```text
//!  Server ──► kind: files, command line, "do you answer?"
//!    │
//!    └─pipe─► keeper (sh, a process group of its own) ──► server ──► what it starts
//!                 signals all of them                       └─► <folder>/log
//! ```
//!
//! Everything here blocks: a start takes a fraction of a second (Redis, etcd) to some seconds (RabbitMQ).

mod error;
mod etcd;
mod find;
mod keeper;
mod place;
mod ports;
pub mod postgres;
pub mod rabbitmq;
mod redis;
mod server;
mod wire;

pub use crate::{
    error::Error,
    place::{Kind, Options},
    ports::Ports,
    server::Server,
};

#[cfg(test)]
mod tests;
