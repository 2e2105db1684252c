//! Where schemas come from: `scripts/setup` puts them into `target/tools/schemas`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Kind, Schemas};
use crate::{Error, documents};

impl Schemas {
    /// Reads every version of Kubernetes (`kubernetes-<version>`), each with all custom resources (`crds`), by version.
    ///
    /// # Errors
    ///
    /// When a file is missing or cannot be read.
    pub fn load(folder: &Path) -> Result<BTreeMap<String, Self>, Error> {
        let mut crds = Vec::new();
        for file in entries(&folder.join("crds"))? {
            crds.extend(documents(&file)?);
        }
        let mut versions = BTreeMap::new();
        for path in entries(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(version) = name.strip_prefix("kubernetes-") {
                let kubernetes = definitions(&path.join("_definitions.json"))?;
                versions.insert(version.to_owned(), Self::new(kubernetes, &crds));
            }
        }
        Ok(versions)
    }

    pub(super) fn new(kubernetes: Value, crds: &[Value]) -> Self {
        let mut kinds = BTreeMap::new();
        for schema in kubernetes
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, schema)| schema)
        {
            for known in list(&schema["x-kubernetes-group-version-kind"]) {
                let kind = Kind {
                    schema: schema.clone(),
                    custom: false,
                };
                kinds.insert(
                    key(&known["group"], &known["version"], &known["kind"]),
                    kind,
                );
            }
        }
        for crd in crds {
            let spec = &crd["spec"];
            for version in list(&spec["versions"]) {
                let kind = Kind {
                    schema: version["schema"]["openAPIV3Schema"].clone(),
                    custom: true,
                };
                kinds.insert(
                    key(&spec["group"], &version["name"], &spec["names"]["kind"]),
                    kind,
                );
            }
        }
        Self {
            kinds,
            definitions: kubernetes,
        }
    }
}

fn key(group: &Value, version: &Value, kind: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = match text(group) {
        group if group.is_empty() => text(version),
        group => format!("{group}/{}", text(version)),
    };
    (version, text(kind))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn definitions(path: &Path) -> Result<Value, Error> {
    let text = fs::read_to_string(path).map_err(read(path))?;
    let mut file: Value = serde_json::from_str(&text).map_err(|error| Error::Yaml {
        origin: path.display().to_string(),
        problem: error.to_string(),
    })?;
    Ok(file["$defs"].take())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(read(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(read(folder)));
    paths.collect()
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read { path, source }
}
