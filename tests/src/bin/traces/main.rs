//! What it costs to keep every trace and to look at them: `scripts/traces`.
//!
//! ```text
//!  1. spans ── OTLP, 1,000 traces a second ──► mesh up ◄── page: map, list, waterfall, events
//!                                              └ memory            └ answers, how soon
//!  2. reads, one after the other, ─► gateway ─► orders, inventory ── spans ──► mesh up ◄── page, open in
//!     as many as are answered                                                              every other round
//! ```
//!
//! Spans are made here in the first part, so that there are as many as asked for whatever the machine can serve. The second
//! part needs a mesh that has no time left: below that, a page that takes some goes unnoticed.

mod page;
mod report;
mod spans;
mod throughput;
mod trial;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use mesh_config::parse_duration;

use self::{
    report::{Bounds, broken, table},
    trial::{Dose, Trial},
};

/// Traces at a fixed rate into the store of `mesh up`, and as many requests as it answers with the page open and closed.
#[derive(Debug, Parser)]
#[command(name = "traces")]
struct Options {
    /// traces a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,
    /// for how long
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    length: Duration,
    /// rounds with the page open, and as many with it closed
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// how long each round lasts
    #[arg(long, default_value = "6s", value_parser = parse_duration)]
    round: Duration,
    /// what is asserted: the figures of a release build, or what any build on a busy machine keeps
    #[arg(long, value_enum, default_value_t = Strictness::Release)]
    bounds: Strictness,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strictness {
    Release,
    Rough,
}

fn main() -> ExitCode {
    mesh_tests::command(run)
}

/// The bounds that were broken.
#[expect(clippy::print_stdout, reason = "it is a command")]
fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let dose = Dose {
        rate: options.rate,
        length: options.length,
        rounds: options.rounds,
        round: options.round,
    };
    let bounds = match options.bounds {
        Strictness::Release => Bounds::RELEASE,
        Strictness::Rough => Bounds::ROUGH,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let trial = runtime.block_on(Trial::run(&dose))?;
    print!("{}", table(&trial, &bounds));
    Ok(broken(&trial, &bounds))
}
