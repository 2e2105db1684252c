//! The containers of the processes, and what running processes answer to what is asked of them.

use std::collections::BTreeMap;

use mesh_manifests::{Cluster, Finding, Manifests, Pod, container_port};
use mesh_tests::{Processes, manifests::outside};
use serde_json::Value;

/// Every process.
pub(crate) const NAMES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];

/// The containers of our processes.
pub(crate) fn containers(
    set: &Manifests,
    mut each: impl FnMut(&Pod<'_>, &str, &Value, &'static str),
) {
    let outside = outside(set);
    let cluster = Cluster::new(set, &outside);
    for pod in cluster.pods() {
        for (field, container) in pod.containers() {
            let name = NAMES
                .iter()
                .find(|name| container["name"] == **name && pod.label("app") == Some(**name));
            if let Some(name) = name {
                each(pod, &field, container, name);
            }
        }
    }
}

/// What the admin listeners of running processes answer, asked once for each path.
pub(crate) struct Answers<'a> {
    running: &'a Processes,
    known: BTreeMap<(&'static str, String), u16>,
}

impl<'a> Answers<'a> {
    pub(crate) fn of(running: &'a Processes) -> Self {
        Self {
            running,
            known: BTreeMap::new(),
        }
    }

    /// Paths of probes and scrapes that a process answers with something else than 200.
    pub(crate) async fn asked_by(&mut self, set: &Manifests) -> Vec<Finding> {
        let mut asked = Vec::new();
        containers(set, |pod, field, container, name| {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let get = &container[probe]["httpGet"];
                let at_admin = container_port(container, &get["port"])
                    == container_port(container, &"admin".into());
                let path = if at_admin {
                    get["path"].as_str().unwrap_or_default()
                } else {
                    ""
                };
                asked.push((
                    pod.owner.clone(),
                    format!("{field}.{probe}"),
                    name,
                    path.to_owned(),
                ));
            }
            let path = pod.template["metadata"]["annotations"]["prometheus.io/path"].as_str();
            asked.push((
                pod.owner.clone(),
                "prometheus.io/path".to_owned(),
                name,
                path.unwrap_or_default().to_owned(),
            ));
        });
        let mut findings = Vec::new();
        for (owner, field, name, path) in asked {
            let status = self.status(name, &path).await;
            if status != 200 {
                findings.push(Finding::of(
                    &owner,
                    field,
                    format!("{name} answers {path:?} with {status}"),
                ));
            }
        }
        findings
    }

    async fn status(&mut self, name: &'static str, path: &str) -> u16 {
        if !path.starts_with('/') {
            return 404;
        }
        let key = (name, path.to_owned());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let status = self.running.admin(name).get(path).send().await.status;
        *self.known.entry(key).or_insert(status)
    }
}
