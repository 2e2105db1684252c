//! Runs `kustomize build`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

/// Where `scripts/setup` puts it, below the root of a checkout.
const INSTALLED: &str = "target/tools/bin/kustomize";

/// What `kustomize build` prints for a folder.
pub(crate) fn build(folder: &Path) -> Result<String, Error> {
    let program = program(folder);
    let built = Command::new(&program)
        .arg("build")
        .arg(folder)
        .output()
        .map_err(|source| Error::NoKustomize { program, source })?;
    let refused = |problem: String| Error::Kustomize {
        folder: folder.to_owned(),
        problem,
    };
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(refused(said.trim().to_owned()));
    }
    // What it warns of (fields that are deprecated, patches that match nothing) is wrong as well.
    if !built.stderr.is_empty() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(refused(said.trim().to_owned()));
    }
    String::from_utf8(built.stdout)
        .map_err(|_| refused("printed something else than UTF-8".to_owned()))
}

/// The pinned one of the checkout that the folder is in, else the one on the path.
fn program(folder: &Path) -> PathBuf {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder
        .ancestors()
        .map(|ancestor| ancestor.join(INSTALLED))
        .find(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from("kustomize"))
}
