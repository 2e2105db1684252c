//! The sets of manifests that there are: every folder that kustomize builds, each built once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use mesh_manifests::Manifests;

/// The overlay that mutations are made of: it has everything in it.
const MUTABLE: &str = "deploy/overlays/kind";
const CANARY: &str = "istio/canary";
/// Components that no overlay here has, each with one that it is made for.
const CHOICES: [(&str, &str); 2] = [
    ("deploy/overlays/kind", "deploy/components/request-rate"),
    ("deploy/overlays/production", "istio/auth"),
];

/// By the folder in the repository. A constant, though it takes kustomize to know it.
static BUILT: LazyLock<BTreeMap<String, Manifests>> = LazyLock::new(|| {
    let kustomizations = yaml_files().into_iter().filter(|file| {
        let text = fs::read_to_string(file).expect("it is text");
        file.ends_with("kustomization.yaml") && text.contains("kind: Kustomization")
    });
    let folders = kustomizations.filter_map(|file| {
        let folder = file.parent()?.strip_prefix(root()).ok()?;
        // The parts of the base are in every overlay.
        (!folder.starts_with("deploy/base")).then(|| folder.display().to_string())
    });
    let built = folders.map(|folder| {
        let set = build(&root().join(&folder), &folder);
        (folder, set)
    });
    built.collect()
});

/// The root of the workspace.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace is there")
}

/// Every YAML file there is, workflows too.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn yaml_files() -> Vec<PathBuf> {
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

/// What kustomize makes of every overlay and of every folder of Istio's.
///
/// # Panics
///
/// When it refuses one.
pub fn every() -> impl Iterator<Item = &'static Manifests> {
    BUILT.values()
}

/// What people apply: each overlay by itself; those with Istio with what is put over them, the canary, every fault and the load
/// test; and overlays with the components that are theirs to choose.
///
/// # Panics
///
/// When there is nothing, or kustomize refuses it.
#[must_use]
pub fn whole() -> Vec<Manifests> {
    let below = |start: &'static str| {
        let sets = BUILT.iter();
        sets.filter(move |(folder, _)| folder.starts_with(start))
            .map(|(_, set)| set)
    };
    let mut sets: Vec<_> = below("deploy/overlays/").cloned().collect();
    assert!(sets.len() >= 3, "kind, production, no-mesh");
    for over in below("istio/faults/").chain([&BUILT[CANARY], &BUILT["deploy/load"]]) {
        sets.extend(["deploy/overlays/production", MUTABLE].map(|overlay| put_over(overlay, over)));
    }
    sets.extend(CHOICES.map(|(overlay, component)| with(overlay, component)));
    sets
}

/// The set that mutations are made of.
///
/// # Panics
///
/// When kustomize refuses it.
#[must_use]
pub fn mutable() -> &'static Manifests {
    &BUILT[MUTABLE]
}

/// The same with the canary over it, for mutations of that.
///
/// # Panics
///
/// When kustomize refuses one.
#[must_use]
pub fn mutable_canary() -> Manifests {
    put_over(MUTABLE, &BUILT[CANARY])
}

/// An overlay, and then something else.
fn put_over(overlay: &str, over: &Manifests) -> Manifests {
    let mut set = BUILT[overlay].clone();
    set.put_over(over.clone());
    set
}

/// An overlay with one more component.
fn with(overlay: &str, component: &str) -> Manifests {
    // kustomize takes paths that lead out of its folder only when they are relative.
    let folder = tempfile::tempdir_in(root().join("target")).expect("target/ is writable");
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
         resources: [../../{overlay}]\ncomponents: [../../{component}]\n"
    );
    let file = folder.path().join("kustomization.yaml");
    fs::write(file, text).expect("the folder is writable");
    build(folder.path(), &format!("{overlay} with {component}"))
}

/// Builds a folder; its objects say by that name where they are from.
fn build(folder: &Path, name: &str) -> Manifests {
    let mut set = Manifests::kustomize(folder).unwrap_or_else(|error| panic!("{error}"));
    for object in set.iter_mut() {
        name.clone_into(&mut object.source);
    }
    set
}

fn files(folder: &Path) -> Vec<PathBuf> {
    // Not every folder is there from the start.
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
