//! The command people type: the whole mesh on one machine, or any one process of it.
//!
//! ```text
//!  mesh up ──► supervisor ──► replica ──► child: `mesh run orders`, an OS process of its own
//!    │             ▲             │            │
//!    │     mesh scale (socket)   └ readiness ◄┤ /readyz
//!    ├──► terminal ◄── output ◄───────────────┘ stdout, stderr
//!    └──► backing: with --real, servers of our own
//! ```

mod announce;
mod backing;
mod backoff;
mod cells;
mod check;
mod child;
mod cli;
mod control;
mod dead;
mod depth;
mod environment;
mod error;
mod folder;
mod launcher;
mod lines;
mod load;
mod logbook;
mod logs;
mod output;
mod page;
mod paper;
mod ports;
mod process;
mod queue;
mod readiness;
mod record;
mod replica;
mod reset;
mod run;
mod running;
mod scale;
mod scraper;
mod signals;
mod spans;
mod status;
mod supervisor;
mod table;
mod terminal;
mod trace;
mod up;
mod view;
mod watcher;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    error::Error,
};

/// Reads the command line and does what it says: the whole `main` of the binary.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => in_runtime(up::up(args)),
        Command::Run(args) => return run::run(&args),
        Command::Scale(args) => in_runtime(scale::scale(args)),
        Command::Status(args) => in_runtime(status::status(args)),
        Command::Load(args) => in_runtime(load::load(args)),
        Command::Dead { command } => in_runtime(dead::dead(command)),
        Command::Trace(args) => in_runtime(trace::trace(args)),
        Command::Reset => reset::reset(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// One thread is enough: the work is done by the children.
fn in_runtime(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::io("start the runtime", source))?
        .block_on(command)
}
