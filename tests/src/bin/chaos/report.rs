//! The table.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{course::Ended, invariants::Verdict, progress::outcome_name};

/// Violations of one invariant that are shown.
const SHOWN: usize = 20;

/// Orders by outcome, faults by kind, times, invariants; then the violations.
pub(crate) fn report(ended: &Ended) -> String {
    let mut text = String::from("\n| orders | |\n|---|---|\n");
    let customers = &ended.facts.customers;
    for (outcome, count) in counted(customers.iter().map(|told| outcome_name(&told.outcome))) {
        let _ = writeln!(text, "| {outcome} | {count} |");
    }
    let cancels = customers.iter().filter_map(|told| told.cancel);
    for (cancel, count) in counted(cancels.map(|cancel| format!("{cancel:?}"))) {
        let _ = writeln!(text, "| asked to cancel: {cancel} | {count} |");
    }
    for (status, count) in counted(ended.facts.orders.iter().map(|row| row.status.clone())) {
        let _ = writeln!(text, "| in the store: {status} | {count} |");
    }
    text.push_str("\n| faults | |\n|---|---|\n");
    for (kind, count) in counted(ended.plan.iter().map(|planned| planned.fault.kind())) {
        let _ = writeln!(text, "| {kind} | {count} |");
    }
    let _ = writeln!(text, "| (crash points reached) | {} |", ended.crashed);
    text.push_str(
        "\n| answer within | p50 | p90 | p99 | all |\n|---|---|---|---|---|\n| placed orders |",
    );
    for percent in [50, 90, 99, 100] {
        let _ = write!(text, " {} |", seconds(ended.tally().percentile(percent)));
    }
    text.push_str("\n\n| invariant | | checked | violations |\n|---|---|---|---|\n");
    for Verdict {
        name,
        holds,
        checked,
        violations,
    } in &ended.verdicts
    {
        let _ = writeln!(
            text,
            "| {name} | {holds} | {checked} | {} |",
            violations.len()
        );
    }
    let _ = writeln!(
        text,
        "\n{} orders at {}/s, {} faults, seed {}: {} s in all, {} s of them until nothing was left to do",
        customers.len(),
        ended.rate,
        ended.plan.len(),
        ended.seed,
        ended.took.as_secs(),
        ended.drained.as_secs(),
    );
    text
}

/// Everything that is wrong, with the names of the orders.
pub(crate) fn problems(ended: &Ended) -> Vec<String> {
    let mut problems = ended.odd.clone();
    for verdict in &ended.verdicts {
        let violations = verdict.violations.iter();
        problems.extend(
            violations
                .take(SHOWN)
                .map(|violation| format!("{}: {violation}", verdict.name)),
        );
        let more = verdict.violations.len().saturating_sub(SHOWN);
        if more > 0 {
            problems.push(format!("{}: and {more} more", verdict.name));
        }
    }
    problems
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for each in all {
        *counts.entry(each).or_default() += 1;
    }
    counts
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
