//! What this repository deploys: kustomize builds it, schemas allow it, what it names is there, nothing lacks what it needs.
//! And each of these checks finds what it is there for, in the same manifests made wrong.

use std::{collections::BTreeSet, fs, time::Duration};

use mesh_manifests::{
    Cluster, Finding, Manifests, Processes, Schemas, pod_security, ports, references, workloads,
};
use mesh_tests::manifests::{self, mutations, outside};

/// The versions that are promised.
const KUBERNETES: [&str; 3] = ["1.35", "1.36", "1.37"];
const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];
const ADMIN_PORT: u16 = 9464;

/// Everything but schemas that is wrong with a set.
fn findings(set: &Manifests) -> BTreeSet<Finding> {
    let outside = outside(set);
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
    let folder = manifests::root().join("target/tools/schemas");
    let schemas = Schemas::load(&folder).expect("scripts/setup check fetches the schemas");
    assert!(schemas.keys().eq(&KUBERNETES), "{:?}", schemas.keys());
    schemas.into_values().collect()
}

#[test]
fn every_file_is_yaml_without_keys_that_stand_twice() {
    let files = manifests::yaml_files().into_iter();
    let problems: Vec<_> = files
        .filter_map(|file| mesh_manifests::documents(&file).err())
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn schemas_allow_every_object() {
    for schemas in schemas() {
        let objects = manifests::every().flat_map(Manifests::iter);
        let findings = objects.flat_map(|object| schemas.check(object)).collect();
        assert!(BTreeSet::is_empty(&findings), "{}", lines(&findings));
    }
}

#[test]
fn what_is_named_is_there_and_nothing_lacks_what_it_needs() {
    for set in manifests::whole() {
        let findings = findings(&set);
        assert!(findings.is_empty(), "{}", lines(&findings));
    }
}

/// `kubectl apply` warns of an object that something else has made.
#[test]
fn nobody_is_told_to_create_a_namespace_that_is_applied() {
    let applied = manifests::every().flat_map(|set| set.of("Namespace"));
    let applied: BTreeSet<_> = applied.map(|namespace| namespace.name.as_str()).collect();
    assert!(applied.contains("shop"), "{applied:?}");
    let guides = ["README.md", "deploy/README.md", "istio/README.md"];
    let guides = guides.map(|guide| manifests::root().join(guide));
    for file in manifests::yaml_files().into_iter().chain(guides) {
        let text = fs::read_to_string(&file).expect("it is text");
        let names = text.split("create namespace ").skip(1);
        for name in names.filter_map(|rest| rest.split_whitespace().next()) {
            assert!(!applied.contains(name), "{}: {name}", file.display());
        }
    }
}

#[test]
fn prometheus_takes_its_rules_and_its_configuration() {
    for set in manifests::every() {
        let findings = manifests::configurations(set).into_iter().collect();
        assert!(BTreeSet::is_empty(&findings), "{}", lines(&findings));
    }
    let missed: Vec<_> = mutations(include_str!("deployed/of-prometheus.txt"))
        .into_iter()
        .filter_map(|mutation| {
            let findings = manifests::configurations(&mutation.apply(manifests::mutable()));
            mutation.missed(&findings.into_iter().collect())
        })
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn each_schema_finds_what_is_wrong() {
    let set = manifests::mutable();
    let mut missed = Vec::new();
    for schemas in schemas() {
        for mutation in mutations(include_str!("deployed/of-schemas.txt")) {
            let wrong = mutation.apply(set);
            let findings = wrong
                .of(mutation.kind)
                .flat_map(|object| schemas.check(object));
            missed.extend(mutation.missed(&findings.collect()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn each_rule_finds_what_is_wrong() {
    let canary = manifests::mutable_canary();
    let missed: Vec<_> = [
        (manifests::mutable(), include_str!("deployed/of-rules.txt")),
        (&canary, include_str!("deployed/of-canary.txt")),
    ]
    .into_iter()
    .flat_map(|(set, table)| mutations(table).into_iter().map(move |row| (set, row)))
    .filter_map(|(set, mutation)| mutation.missed(&findings(&mutation.apply(set))))
    .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
