//! What Prometheus is given, as promtool sees it.

use std::{fs, process::Command};

use mesh_manifests::{Finding, Manifests, Object};
use serde_json::Value;

use super::sets::root;

/// What is in a ConfigMap, as documents by their keys: what is neither YAML nor JSON is left out.
#[must_use]
pub fn entries(object: &Object) -> Vec<(String, Value)> {
    let keys = object.at("/data").as_object().into_iter().flatten();
    let read = keys.filter_map(|(key, text)| {
        let documents = mesh_manifests::read_yaml(key, text.as_str()?).ok()?;
        Some((key.clone(), documents.into_iter().next()?))
    });
    read.collect()
}

/// Rules and configurations of Prometheus in a set that it would not take.
///
/// # Panics
///
/// When there is no promtool.
#[must_use]
pub fn configurations(set: &Manifests) -> Vec<Finding> {
    let mut findings = Vec::new();
    for object in set.of("ConfigMap") {
        for (key, mut document) in entries(object) {
            let checked = if document.get("groups").is_some() {
                promtool(&["check", "rules"], &document)
            } else if document.get("scrape_configs").is_some() {
                without_discovery(&mut document);
                promtool(&["check", "config", "--syntax-only"], &document)
            } else {
                Ok(())
            };
            findings.extend(checked.err().map(|why| Finding::of(object, key, why)));
        }
    }
    findings
}

/// Debian's promtool is built without what finds targets in Kubernetes, and knows no field of it.
fn without_discovery(document: &mut Value) {
    let jobs = document["scrape_configs"].as_array_mut();
    for job in jobs.into_iter().flatten().filter_map(Value::as_object_mut) {
        job.remove("kubernetes_sd_configs");
    }
}

/// Runs promtool on a document.
///
/// # Errors
///
/// What it says, when it does not take it.
///
/// # Panics
///
/// When there is no promtool.
pub fn promtool(arguments: &[&str], document: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checked.json");
    fs::write(&file, document.to_string()).expect("the folder is writable");
    let installed = root().join("target/tools/bin/promtool");
    let program = if installed.exists() {
        installed
    } else {
        "promtool".into()
    };
    let checked = Command::new(program)
        .args(arguments)
        .arg(&file)
        .output()
        .expect("scripts/setup installs promtool");
    if checked.status.success() {
        return Ok(());
    }
    let said = [checked.stdout, checked.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned())
}
