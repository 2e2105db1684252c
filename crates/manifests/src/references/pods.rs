//! What pods name: their account, keys of ConfigMaps and Secrets, volumes, their own ports.

use serde_json::Value;

use crate::{Cluster, Finding, Pod, cluster::container_port};

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for pod in cluster.pods() {
        account(cluster, pod, findings);
        volumes(cluster, pod, findings);
        for (field, container) in pod.containers() {
            environment(cluster, pod, &field, container, findings);
            ports(pod, &field, container, findings);
            mounts(pod, &field, container, findings);
        }
        selector(cluster, pod, findings);
    }
}

fn account(cluster: &Cluster<'_>, pod: &Pod<'_>, findings: &mut Vec<Finding>) {
    let Some(name) = pod.spec()["serviceAccountName"].as_str() else {
        return;
    };
    if cluster
        .find("ServiceAccount", pod.namespace(), name)
        .is_none()
    {
        let field = format!("{}.spec.serviceAccountName", pod.field);
        findings.push(Finding::of(
            pod.owner,
            field,
            format!("there is no ServiceAccount {name}"),
        ));
    }
}

fn environment(
    cluster: &Cluster<'_>,
    pod: &Pod<'_>,
    field: &str,
    container: &Value,
    findings: &mut Vec<Finding>,
) {
    let mut missing = |field: String, kind: &str, reference: &Value| {
        let name = reference["name"].as_str().unwrap_or_default();
        let key = reference["key"].as_str();
        if reference["optional"] != true && !cluster.has_key(kind, pod.namespace(), name, key) {
            let key = key
                .map(|key| format!(" with the key {key}"))
                .unwrap_or_default();
            findings.push(Finding::of(
                pod.owner,
                field,
                format!("there is no {kind} {name}{key}"),
            ));
        }
    };
    for (index, variable) in items(&container["env"]).enumerate() {
        for (from, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
            if let Some(reference) = variable["valueFrom"].get(from) {
                missing(
                    format!("{field}.env[{index}].valueFrom.{from}"),
                    kind,
                    reference,
                );
            }
        }
    }
    for (index, source) in items(&container["envFrom"]).enumerate() {
        for (from, kind) in [("secretRef", "Secret"), ("configMapRef", "ConfigMap")] {
            if let Some(reference) = source.get(from) {
                missing(format!("{field}.envFrom[{index}].{from}"), kind, reference);
            }
        }
    }
}

fn volumes(cluster: &Cluster<'_>, pod: &Pod<'_>, findings: &mut Vec<Finding>) {
    for (index, volume) in items(&pod.spec()["volumes"]).enumerate() {
        let field = format!("{}.spec.volumes[{index}]", pod.field);
        let mut sources = vec![volume];
        sources.extend(items(&volume["projected"]["sources"]));
        for source in sources {
            for (from, kind, name) in [
                ("secret", "Secret", "secretName"),
                ("configMap", "ConfigMap", "name"),
            ] {
                let Some(reference) = source
                    .get(from)
                    .filter(|reference| reference["optional"] != true)
                else {
                    continue;
                };
                // Of a projected secret too it is `name`.
                let name = reference
                    .get(name)
                    .or(reference.get("name"))
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let keys = items(&reference["items"]).filter_map(|item| item["key"].as_str());
                for key in [None].into_iter().chain(keys.map(Some)) {
                    if !cluster.has_key(kind, pod.namespace(), name, key) {
                        let key = key
                            .map(|key| format!(" with the key {key}"))
                            .unwrap_or_default();
                        findings.push(Finding::of(
                            pod.owner,
                            format!("{field}.{from}"),
                            format!("there is no {kind} {name}{key}"),
                        ));
                    }
                }
            }
        }
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str()
            && cluster
                .find("PersistentVolumeClaim", pod.namespace(), claim)
                .is_none()
        {
            findings.push(Finding::of(
                pod.owner,
                field,
                format!("there is no PersistentVolumeClaim {claim}"),
            ));
        }
    }
}

/// Probes and hooks go to a port of their own container; the scrape annotation to one of the pod's.
fn ports(pod: &Pod<'_>, field: &str, container: &Value, findings: &mut Vec<Finding>) {
    for place in ["startupProbe", "livenessProbe", "readinessProbe"] {
        for action in ["httpGet", "tcpSocket", "grpc"] {
            let Some(port) = container[place][action].get("port") else {
                continue;
            };
            if container_port(container, port).is_none() {
                let problem = format!("the container declares no port {port}");
                findings.push(Finding::of(
                    pod.owner,
                    format!("{field}.{place}.{action}.port"),
                    problem,
                ));
            }
        }
    }
    let annotations = &pod.template["metadata"]["annotations"];
    let Some(text) = annotations["prometheus.io/port"].as_str() else {
        return;
    };
    let scraped = text
        .parse::<u64>()
        .ok()
        .and_then(|port| pod.port(&port.into()));
    if scraped.is_none() {
        let field = format!("{}.metadata.annotations.prometheus.io/port", pod.field);
        findings.push(Finding::of(
            pod.owner,
            field,
            format!("no container declares the port {text}"),
        ));
    }
}

fn mounts(pod: &Pod<'_>, field: &str, container: &Value, findings: &mut Vec<Finding>) {
    let claims =
        items(pod.owner.at("/spec/volumeClaimTemplates")).map(|claim| &claim["metadata"]["name"]);
    let volumes: Vec<_> = items(&pod.spec()["volumes"])
        .map(|volume| &volume["name"])
        .chain(claims)
        .collect();
    for (index, mount) in items(&container["volumeMounts"]).enumerate() {
        if !volumes.contains(&&mount["name"]) {
            let problem = format!("there is no volume {}", mount["name"]);
            findings.push(Finding::of(
                pod.owner,
                format!("{field}.volumeMounts[{index}].name"),
                problem,
            ));
        }
    }
}

/// A workload selects its own pods and nobody else's: else no autoscaler works on either.
fn selector(cluster: &Cluster<'_>, pod: &Pod<'_>, findings: &mut Vec<Finding>) {
    let Some(labels) = pod.owner.body.pointer("/spec/selector/matchLabels") else {
        return;
    };
    let mut own = false;
    for selected in cluster.selected(pod.namespace(), labels) {
        if selected.owner == pod.owner {
            own = true;
        } else {
            let problem = format!("selects pods of {} too", selected.owner);
            findings.push(Finding::of(pod.owner, "spec.selector.matchLabels", problem));
        }
    }
    if !own {
        findings.push(Finding::of(
            pod.owner,
            "spec.selector.matchLabels",
            "does not select its own pods",
        ));
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
