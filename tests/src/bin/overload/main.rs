//! What a service does when it is offered more than it can do: `scripts/overload`.
//!
//! ```text
//!  CPU 0: overload serve                                CPU 1: overload
//!  ┌──────────────────────────────────────┐             ┌───────────────────────────────────────────────┐
//!  │ chassis ─► handler that burns --cost │◄── gRPC ────│ calls at a fixed rate, whatever becomes of them │
//!  │ admin                                │◄─ /healthz ─│ a probe every 50 ms                             │
//!  └──────────────────────────────────────┘◄── /proc ───│ resident memory                                 │
//!                                                       └───────────────────────────────────────────────┘
//! ```
//!
//! Calls are sent when they are due and not when the one before was answered, and their time counts from then: a
//! service that stops answering cannot slow down those who measure it.

mod bounds;
mod load;
mod plot;
mod report;
mod service;
mod target;
mod trial;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mesh_config::parse_duration;

use self::{
    bounds::Bounds,
    target::Target,
    trial::{Dose, Trial},
};

/// Measures one service at 2, 5 and 10 times what it can do, prints a table and fails when a bound is broken.
#[derive(Debug, Parser)]
#[command(name = "overload")]
struct Options {
    /// CPU time of the handler
    #[arg(long, default_value = "5ms", value_parser = parse_duration)]
    cost: Duration,
    /// how long each overload lasts
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    length: Duration,
    /// how long each step of the ramp lasts that finds what the service can do
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    step: Duration,
    /// multiples of the sustainable load
    #[arg(long, value_delimiter = ',', default_value = "2,5,10")]
    factors: Vec<u32>,
    /// MESH_CONCURRENCY_LIMIT of the service
    #[arg(long, default_value_t = 16)]
    limit: usize,
    /// what is asserted: the figures of a release build, or what any build on a busy machine keeps
    #[arg(long, value_enum, default_value_t = Strictness::Release)]
    bounds: Strictness,
    /// where the plot goes
    #[arg(long)]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strictness {
    Release,
    Rough,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if_eq("serve").is_some() {
        return mesh_chassis::main::<service::KnownCost>(args);
    }
    mesh_tests::command(run)
}

/// Everything on this thread, so that all of it stays on its CPU. Returns the bounds that were broken.
#[expect(clippy::print_stdout, reason = "it is a command")]
fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let trial = runtime.block_on(async {
        let target = Target::start(options.cost, options.limit).await?;
        let dose = Dose {
            step: options.step,
            length: options.length,
            factors: options.factors.clone(),
        };
        Trial::run(&target, options.cost, &dose).await
    })?;
    let bounds = match options.bounds {
        Strictness::Release => Bounds::RELEASE,
        Strictness::Rough => Bounds::ROUGH,
    };
    print!("{}", report::table(&trial, bounds.normal));
    if let Some(path) = &options.plot {
        fs::write(path, plot::svg(&trial))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nplot: {}", path.display());
    }
    Ok(bounds.broken(&trial))
}
