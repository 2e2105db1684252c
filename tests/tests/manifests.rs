//! The manifests and the code say the same: who calls whom and for how long, on which ports, with which settings, and what
//! is counted. Each test is also run on the same manifests made wrong.

mod manifests {
    pub(crate) mod calls;
    pub(crate) mod environment;
    pub(crate) mod processes;
    pub(crate) mod queries;
}

use std::collections::BTreeSet;

use manifests::{calls, environment, processes, queries};
use mesh_manifests::{CallGraph, Cluster, Finding, Manifests, access, routes};
use mesh_tests::{
    Processes,
    manifests::{Mutation, mutable, mutations, outside, whole},
    metrics_after_some_use,
};

#[track_caller]
fn none(findings: &[Finding]) {
    let lines: BTreeSet<_> = findings.iter().map(ToString::to_string).collect();
    let lines: Vec<_> = lines.into_iter().collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Each line of the table, made true of the good manifests, is found.
#[track_caller]
fn all_found(table: Vec<Mutation>, find: impl Fn(&Manifests) -> Vec<Finding>) {
    let set = mutable();
    let missed: Vec<_> = table
        .into_iter()
        .filter_map(|mutation| mutation.missed(&find(&mutation.apply(set)).into_iter().collect()))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn against(calls: &CallGraph, set: &Manifests) -> Vec<Finding> {
    let outside = outside(set);
    let cluster = Cluster::new(set, &outside);
    let mut findings = access(&cluster, "shop", calls);
    findings.extend(routes(&cluster, "shop", calls));
    findings
}

#[test]
fn policies_and_routes_are_those_of_the_calls() {
    let calls = calls::graph();
    for set in whole() {
        none(&against(&calls, &set));
    }
    all_found(mutations(include_str!("manifests/of-calls.txt")), |set| {
        against(&calls, set)
    });
}

#[test]
fn timeouts_and_tries_are_those_of_the_table() {
    for set in whole() {
        none(&calls::promises(&set));
    }
    all_found(
        mutations(include_str!("manifests/of-promises.txt")),
        calls::promises,
    );
}

#[test]
fn every_container_starts_with_its_environment() {
    for set in whole() {
        none(&environment::environment(&set));
    }
    all_found(
        mutations(include_str!("manifests/of-environment.txt")),
        environment::environment,
    );
}

#[tokio::test]
async fn probes_and_scrapes_are_answered() {
    let running = Processes::only(&processes::NAMES).start().await;
    let mut answers = processes::Answers::of(&running);
    for set in whole() {
        none(&answers.asked_by(&set).await);
    }
    let set = mutable();
    for mutation in mutations(include_str!("manifests/of-probes.txt")) {
        let findings = answers.asked_by(&mutation.apply(set)).await;
        assert_eq!(mutation.missed(&findings.into_iter().collect()), None);
    }
}

#[tokio::test]
async fn queries_ask_for_what_the_processes_count() {
    let shown = queries::Shown::by(metrics_after_some_use().await);
    for set in whole() {
        none(&shown.unknown_to(&set));
    }
    all_found(mutations(include_str!("manifests/of-queries.txt")), |set| {
        shown.unknown_to(set)
    });
}

#[test]
fn queries_are_valid() {
    for set in whole() {
        none(&queries::invalid(&set));
    }
    all_found(
        mutations(include_str!("manifests/of-syntax.txt")),
        queries::invalid,
    );
}

#[test]
fn workers_are_scaled_by_the_queue_that_the_code_declares() {
    for set in whole() {
        none(&queries::wrong_queues(&set));
    }
    all_found(
        mutations(include_str!("manifests/of-queues.txt")),
        queries::wrong_queues,
    );
}
