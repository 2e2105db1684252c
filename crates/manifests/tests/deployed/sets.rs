//! The sets of manifests that there are: every folder that kustomize builds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_manifests::Manifests;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is there")
}

/// Every YAML file there is, workflows too.
pub(crate) fn yaml_files() -> Vec<PathBuf> {
    let files: Vec<_> = ["deploy", "istio", ".github"]
        .iter()
        .flat_map(|folder| files(&root().join(folder)))
        .filter(|file| {
            file.extension()
                .is_some_and(|kind| kind == "yaml" || kind == "yml")
        })
        .collect();
    assert!(!files.is_empty(), "no YAML below {}", root().display());
    files
}

/// What kustomize makes of every folder that it builds by itself.
pub(crate) fn every() -> Vec<Manifests> {
    let kustomizations = yaml_files().into_iter().filter(|file| {
        let text = fs::read_to_string(file).expect("it is text");
        file.ends_with("kustomization.yaml") && text.contains("kind: Kustomization")
    });
    kustomizations
        .map(|file| build(file.parent().expect("a folder")))
        .collect()
}

/// What people apply: each overlay by itself, and what is put over one that has Istio: the canary, every fault.
pub(crate) fn whole() -> Vec<Manifests> {
    let folders = |below: &str| {
        let entries = fs::read_dir(root().join(below)).expect(below);
        entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
    };
    let mut sets: Vec<_> = folders("deploy/overlays")
        .map(|folder| build(&folder))
        .collect();
    let over = folders("istio/faults").chain([root().join("istio/canary")]);
    for folder in over {
        let mut set = build(&root().join("deploy/overlays/production"));
        set.put_over(build(&folder));
        sets.push(set);
    }
    sets
}

/// The one that mutations are made of: it has everything in it.
pub(crate) fn mutable() -> Manifests {
    build(&root().join("deploy/overlays/kind"))
}

/// Builds a folder; its objects say where it is in the repository.
fn build(folder: &Path) -> Manifests {
    let mut set = Manifests::kustomize(folder).unwrap_or_else(|error| panic!("{error}"));
    let name = folder
        .strip_prefix(root())
        .unwrap_or(folder)
        .display()
        .to_string();
    set.iter_mut()
        .for_each(|object| object.source.clone_from(&name));
    set
}

fn files(folder: &Path) -> Vec<PathBuf> {
    // Not every folder is there from the start.
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
