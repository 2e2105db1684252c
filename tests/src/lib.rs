//! The harness of the tests of the whole mesh: it is looked at from outside, through real processes and real sockets.
//!
//! ```text
//!   Http ──► gateway ──► orders ──► inventory, payments        each a process of its own, started by Processes
//!              │  any peer's address may be a Recorder, which keeps every call and answers as it is told
//!              └────spans────► Collector        logs of each process: a file, read as JSON lines
//! ```
//!
//! Nothing waits a fixed time: [`eventually`] awaits a condition with a limit and says what it saw last. No port is
//! fixed: [`Ports`] keeps the ones it gives out until it is dropped. Every process dies with the value that stands for it.

mod browser;
mod collector;
mod command;
pub mod envoy;
mod eventually;
mod grpc;
mod http;
pub mod manifests;
mod measured;
mod mesh;
mod process;
mod processes;
pub mod promql;
mod recorder;
mod relay;
pub mod rpc;
mod rude;
mod shop;
mod table;
mod used;

pub use mesh_backing::Ports;
pub use mesh_figures::Metrics;

pub use self::{
    browser::{Browser, Scheme},
    collector::{Collector, SpanRecord},
    command::command,
    eventually::{eventually, patiently},
    grpc::{Called, call},
    http::{Answer, Http, Request},
    measured::measured,
    mesh::{Member, Mesh, MeshBuilder, Output},
    process::{Exit, Process},
    processes::{Processes, ProcessesBuilder},
    recorder::{Received, Recorder, Reply},
    relay::Relay,
    rude::{Manner, Rude, Try},
    shop::Shop,
    table::first_column,
    used::metrics_after_some_use,
};
