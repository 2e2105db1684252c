//! What this repository deploys: kustomize builds it, schemas allow it, what it names is there, nothing lacks what it needs.
//! And each of these checks finds what it is there for, in the same manifests made wrong.

mod deployed {
    pub(crate) mod mutations;
    pub(crate) mod outside;
    pub(crate) mod sets;
}

use std::{collections::BTreeSet, time::Duration};

use deployed::{mutations, outside, sets};
use mesh_manifests::{
    Cluster, Finding, Manifests, Processes, Schemas, pod_security, ports, references, workloads,
};

/// The versions that are promised.
const KUBERNETES: [&str; 3] = ["1.35", "1.36", "1.37"];
const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];
const ADMIN_PORT: u16 = 9464;

/// Everything but schemas that is wrong with a set.
fn findings(set: &Manifests) -> BTreeSet<Finding> {
    let outside = outside::of(set);
    let cluster = Cluster::new(set, &outside);
    let processes = Processes {
        namespace: "shop",
        names: &PROCESSES,
        mesh: set.of("PeerAuthentication").next().is_some(),
        drain_timeout: Duration::from_secs(15),
    };
    let mut findings = references(&cluster);
    findings.extend(workloads(&cluster, &processes));
    findings.extend(pod_security(&cluster));
    findings.extend(ports(&cluster, ADMIN_PORT));
    findings.into_iter().collect()
}

fn lines(findings: &BTreeSet<Finding>) -> String {
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn schemas() -> Vec<Schemas> {
    let folder = sets::root().join("target/tools/schemas");
    let schemas = Schemas::load(&folder).expect("scripts/setup check fetches the schemas");
    assert!(schemas.keys().eq(&KUBERNETES), "{:?}", schemas.keys());
    schemas.into_values().collect()
}

#[test]
fn every_file_is_yaml_without_keys_that_stand_twice() {
    let files = sets::yaml_files().into_iter();
    let problems: Vec<_> = files
        .filter_map(|file| mesh_manifests::documents(&file).err())
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn schemas_allow_every_object() {
    let sets = sets::every();
    for schemas in schemas() {
        let objects = sets.iter().flat_map(Manifests::iter);
        let findings = objects.flat_map(|object| schemas.check(object)).collect();
        assert!(BTreeSet::is_empty(&findings), "{}", lines(&findings));
    }
}

#[test]
fn what_is_named_is_there_and_nothing_lacks_what_it_needs() {
    for set in sets::whole() {
        let findings = findings(&set);
        assert!(findings.is_empty(), "{}", lines(&findings));
    }
}

#[test]
fn each_schema_finds_what_is_wrong() {
    let set = sets::mutable();
    let mut missed = Vec::new();
    for schemas in schemas() {
        for mutation in mutations::of_schemas() {
            let wrong = mutation.apply(&set);
            let findings = wrong.iter().flat_map(|object| schemas.check(object));
            missed.extend(mutation.missed(&findings.collect()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn each_rule_finds_what_is_wrong() {
    let set = sets::mutable();
    let missed: Vec<_> = mutations::of_rules()
        .into_iter()
        .filter_map(|mutation| mutation.missed(&findings(&mutation.apply(&set))))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
