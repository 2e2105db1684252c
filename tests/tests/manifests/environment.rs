//! The environment that a container is given, as its process sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use mesh_manifests::{Finding, Manifests, Pod, container_port, namespace_of};
use serde_json::Value;

use super::processes::{NAMES, containers};

/// What the fields of a pod may be.
const FIELDS: [(&str, &str); 3] = [
    ("metadata.namespace", "shop"),
    ("metadata.name", "orders-5c9f7d6b8-x2x4q"),
    ("spec.nodeName", "node-1"),
];
/// What secrets that are made by hand may hold.
const SAMPLES: [(&str, &str); 4] = [
    (
        "store-url",
        "postgres://shop:secret@db.example.com:5432/shop",
    ),
    ("queue-url", "amqp://shop:secret@mq.example.com:5672/%2f"),
    ("lease-url", "etcd://etcd.example.com:2379"),
    ("session-url", "redis://:secret@redis.example.com:6379/0"),
];

/// Variables that no process knows, values that its process refuses, and ports it would not listen on.
pub(crate) fn environment(set: &Manifests) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    containers(set, |pod, field, container, name| {
        seen.insert(name);
        let mut problem = |place: &str, problem: String| {
            findings.push(Finding::of(pod.owner, format!("{field}.{place}"), problem));
        };
        let variables = variables(set, pod, container, &mut problem);
        for (variable, value) in &variables {
            let known = mesh_config::VARIABLES
                .iter()
                .find(|known| known.name == variable);
            let part = items(&container["env"]).any(|other| {
                other["value"]
                    .as_str()
                    .is_some_and(|text| text.contains(&format!("$({variable})")))
            });
            match known {
                Some(known) if !known.of.contains(&name) => {
                    problem("env", format!("{name} does not read {variable}"))
                }
                None if !part => problem("env", format!("nobody reads {variable}")),
                Some(_) | None => {}
            }
            if value.contains("$(") {
                problem(
                    "env",
                    format!("{variable} names a variable that does not stand before it: {value}"),
                );
            }
        }
        match check_config(name, &variables) {
            Err(refused) => problem("env", format!("--check-config refuses it: {refused}")),
            Ok(settings) => listeners(name, container, &settings, &mut problem),
        }
    });
    assert_eq!(
        seen.len(),
        NAMES.len(),
        "a container of every process: {seen:?}"
    );
    findings
}

/// Names and values, as the kubelet makes them.
fn variables(
    set: &Manifests,
    pod: &Pod<'_>,
    container: &Value,
    problem: &mut impl FnMut(&str, String),
) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for variable in items(&container["env"]) {
        let name = variable["name"].as_str().unwrap_or_default();
        let from = &variable["valueFrom"];
        let value = match variable["value"].as_str() {
            Some(text) => variables
                .iter()
                .fold(text.to_owned(), |text, (name, value)| {
                    text.replace(&format!("$({name})"), value)
                }),
            None => match value_from(set, pod, from) {
                Some(value) => value,
                None => {
                    problem("env", format!("{name} has no value: {variable}"));
                    continue;
                }
            },
        };
        variables.push((name.to_owned(), value));
    }
    variables
}

fn value_from(set: &Manifests, pod: &Pod<'_>, from: &Value) -> Option<String> {
    if let Some(field) = from["fieldRef"]["fieldPath"].as_str() {
        return FIELDS
            .iter()
            .find(|(path, _)| *path == field)
            .map(|(_, value)| (*value).to_owned());
    }
    let (kind, reference) = match from.get("secretKeyRef") {
        Some(reference) => ("Secret", reference),
        None => ("ConfigMap", from.get("configMapKeyRef")?),
    };
    let key = reference["key"].as_str()?;
    let mut objects = set.of(kind);
    let object = objects.find(|object| {
        reference["name"] == object.name.as_str() && namespace_of(object) == pod.namespace()
    });
    match object {
        Some(object) => object.entry(key),
        None => SAMPLES
            .iter()
            .find(|(sample, _)| *sample == key)
            .map(|(_, value)| (*value).to_owned()),
    }
}

/// What a process makes of an environment.
fn check_config(
    name: &str,
    variables: &[(String, String)],
) -> Result<BTreeMap<String, String>, String> {
    let checked = Command::new(env!("CARGO_BIN_EXE_tested-mesh"))
        .args(["run", name, "--check-config"])
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the binary starts");
    if !checked.status.success() {
        return Err(String::from_utf8_lossy(&checked.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    let settings = text.lines().filter_map(|line| line.split_once('='));
    Ok(settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Each listener is a port of the container under the name it should have, and there are no others.
fn listeners(
    name: &str,
    container: &Value,
    settings: &BTreeMap<String, String>,
    problem: &mut impl FnMut(&str, String),
) {
    let protocol = if name == "gateway" { "http" } else { "grpc" };
    let listens = [
        ("MESH_LISTEN_ADDR", format!("{protocol}-{name}")),
        ("MESH_ADMIN_ADDR", "admin".to_owned()),
    ];
    let listens: Vec<_> = listens
        .iter()
        .filter_map(|(variable, port)| Some((port, settings.get(*variable)?)))
        .collect();
    for (port, address) in &listens {
        let number = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse::<u16>().ok());
        let declared = container_port(container, &Value::from(port.as_str()));
        if declared.is_none() || declared != number {
            problem(
                "ports",
                format!("{name} listens on {address}, but {port} is {declared:?}"),
            );
        }
    }
    for port in items(&container["ports"]).filter(|port| {
        !listens
            .iter()
            .any(|(name, _)| port["name"] == name.as_str())
    }) {
        problem(
            "ports",
            format!("{name} does not listen on {}", port["name"]),
        );
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
