//! No order is lost and none is charged twice, whatever fails: `scripts/chaos`.
//!
//! ```text
//!  customers ─ open loop ─► gateway ×2 ─► orders ×2 ─► inventory, payments      fulfillment ×2
//!                              ▲             every arrow is a link that can be cut    ▲
//!  plan, from the seed ─► kill, pause, crash, cut, duplicate, poison                  │
//!                              ▼                                                      ▼
//!                           Redis, etcd, PostgreSQL ─► facts ─► invariants I1–I9   RabbitMQ
//! ```
//!
//! Customers, faults and their order follow from the seed; when exactly something happens does not. What must hold is
//! checked afterwards, from the stores, the payment ledger and the queue, by a function of what was found there.

mod course;
mod customer;
mod facts;
mod faults;
mod gather;
mod invariants;
mod link;
mod plan;
mod progress;
mod report;
mod service;
mod stage;
mod tally;
mod workload;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use self::{course::Course, plan::plan, progress::Progress, stage::Stage, workload::seed_stock};

/// Orders at a fixed rate while processes, servers and connections fail; then nothing may be lost or charged twice.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Options {
    /// orders, one customer each
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    orders: u32,
    /// faults, evenly among the orders
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    faults: u32,
    /// what follows from it: customers, faults, their order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// orders a second, whatever becomes of them; half of what the machine can do when none is given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// prints the plan and does nothing
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    mesh_tests::command(run)
}

/// What is wrong, if something is.
#[expect(clippy::print_stdout, reason = "it is a command")]
fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let points = plan::crash_points();
    let plan = plan(options.seed, options.orders, options.faults, &points);
    for (number, planned) in (1..).zip(&plan) {
        println!(
            "fault {number} with order {}: {}",
            planned.at, planned.fault
        );
    }
    if options.plan {
        return Ok(Vec::new());
    }
    let course = Course {
        orders: options.orders,
        rate: options.rate,
        seed: options.seed,
        plan,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            problems = stage(course) => problems,
            interrupted = interrupted() => {
                interrupted?;
                anyhow::bail!("interrupted")
            }
        }
    })
}

/// SIGINT or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "it is a command")]
async fn stage(course: Course) -> anyhow::Result<Vec<String>> {
    let progress = Progress::new();
    let mut stage = Stage::start(seed_stock(course.orders)).await?;
    progress.say("everything is ready");
    let ended = course.run(&mut stage, &progress).await;
    let problems = match &ended {
        Ok(ended) => {
            print!("{}", report::report(ended));
            report::problems(ended)
        }
        Err(error) => vec![format!("{error:#}")],
    };
    if !problems.is_empty() {
        progress.say(&format!("the logs are in {}", stage.keep_logs().display()));
    }
    Ok(problems)
}
