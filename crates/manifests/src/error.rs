//! Why manifests could not be read, by what the reader can do about it.

use std::{io, path::PathBuf};

/// Manifests that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not YAML, or a key stands twice.
    #[error("{origin} is not valid YAML: {problem}")]
    Yaml {
        /// The file or folder it came from.
        origin: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// YAML, but not an object of Kubernetes.
    #[error("{origin}, document {document}: {problem}")]
    NoObject {
        /// The file or folder it came from.
        origin: String,
        /// Counted from 1.
        document: usize,
        /// What is missing.
        problem: &'static str,
    },
    /// There is no kustomize.
    #[error(
        "cannot run {}: {source}; scripts/setup check installs kustomize",
        program.display()
    )]
    NoKustomize {
        /// What was tried.
        program: PathBuf,
        /// Why it did not start.
        source: io::Error,
    },
    /// kustomize refused a folder.
    #[error("kustomize build {}: {problem}", folder.display())]
    Kustomize {
        /// The folder.
        folder: PathBuf,
        /// What it said.
        problem: String,
    },
    /// An object is not what its kind should look like.
    #[error("{object}: {problem}")]
    Shape {
        /// Kind, namespace, name and where it came from.
        object: String,
        /// The field and what is wrong with it.
        problem: String,
    },
}
