//! Who may depend on whom, and what nobody may use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Depend on nothing of ours.
const LEAVES: [&str; 7] = [
    "mesh-backing",
    "mesh-config",
    "mesh-context",
    "mesh-figures",
    "mesh-load",
    "mesh-proto",
    "mesh-traces",
];
/// Depend on leaves, never on each other.
const SHELF: [&str; 6] = [
    "mesh-chassis",
    "mesh-client",
    "mesh-manifests",
    "mesh-messaging",
    "mesh-page",
    "mesh-store",
];
/// Depend on shelf and leaves, never on each other.
const PROCESSES: [&str; 5] = [
    "mesh-fulfillment",
    "mesh-gateway",
    "mesh-inventory",
    "mesh-orders",
    "mesh-payments",
];
/// Depend on whatever they like; nobody depends on them, but the tests on all.
const TOP: [&str; 2] = ["mesh", "mesh-tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_owned()
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()]);
    command.exec().expect("cargo knows the workspace")
}

/// Our packages and what each of them uses of ours, its tests apart.
fn own_edges(metadata: &Metadata) -> BTreeMap<&str, BTreeSet<&str>> {
    let own: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let edges = metadata.workspace_packages().into_iter().map(|package| {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development);
        let names = normal
            .map(|dependency| dependency.name.as_str())
            .filter(|name| own.contains(name));
        (package.name.as_str(), names.collect())
    });
    edges.collect()
}

#[test]
fn our_crates_depend_on_each_other_only_downwards() {
    let metadata = metadata();
    let edges = own_edges(&metadata);
    let known: BTreeSet<_> = [&LEAVES[..], &SHELF, &PROCESSES, &TOP]
        .concat()
        .into_iter()
        .collect();
    assert_eq!(
        edges.keys().copied().collect::<BTreeSet<_>>(),
        known,
        "a new crate needs a place here"
    );

    for (name, used) in &edges {
        let allowed = if LEAVES.contains(name) {
            vec![]
        } else if SHELF.contains(name) {
            LEAVES.to_vec()
        } else if PROCESSES.contains(name) {
            [&LEAVES[..], &SHELF].concat()
        } else if *name == "mesh" {
            [&LEAVES[..], &SHELF, &PROCESSES].concat()
        } else {
            known.iter().copied().collect()
        };
        let wrong: Vec<_> = used.iter().filter(|used| !allowed.contains(used)).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
}

#[test]
fn only_the_tests_depend_on_what_is_on_top() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let used = package
            .dependencies
            .iter()
            .any(|dependency| TOP.contains(&dependency.name.as_str()));
        assert!(
            !used || package.name.as_str() == "mesh-tests",
            "{} depends on {TOP:?}",
            package.name
        );
    }
}

#[test]
fn no_crate_of_ours_enables_retry_or_balance() {
    for package in metadata().workspace_packages() {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.name == "tower")
        {
            for feature in ["retry", "balance", "full"] {
                let enabled = dependency.features.iter().any(|enabled| enabled == feature);
                assert!(!enabled, "{} enables {feature} of tower", package.name);
            }
        }
    }
}

#[test]
fn no_source_of_ours_names_retry_or_balance() {
    for file in sources(&root().join("crates")) {
        let text = fs::read_to_string(&file).expect("a source is text");
        for name in [
            "tower::retry",
            "tower::balance",
            "retry::{",
            "RetryLayer",
            "balance_list",
            "balance_channel",
        ] {
            assert!(!text.contains(name), "{} names {name}", file.display());
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("an entry").path());
    let files = entries.flat_map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
