//! Autoscalers lead to workloads, containers and credentials.

use serde_json::Value;

use crate::{Cluster, Finding, Object, Pod, cluster::namespace_of};

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for hpa in cluster.manifests.of("HorizontalPodAutoscaler") {
        let Some(pod) = target(cluster, hpa, findings) else {
            continue;
        };
        for (index, metric) in hpa.list("/spec/metrics").enumerate() {
            let Some(name) = metric["containerResource"]["container"].as_str() else {
                continue;
            };
            if !pod
                .containers()
                .any(|(_, container)| container["name"] == name)
            {
                let field = format!("spec.metrics[{index}].containerResource.container");
                findings.push(Finding::of(
                    hpa,
                    field,
                    format!("{} has no container {name}", pod.owner),
                ));
            }
        }
    }
    for scaled in cluster.manifests.of("ScaledObject") {
        target(cluster, scaled, findings);
        for (index, trigger) in scaled.list("/spec/triggers").enumerate() {
            let reference = &trigger["authenticationRef"];
            let Some(name) = reference["name"].as_str() else {
                continue;
            };
            let kind = reference["kind"]
                .as_str()
                .unwrap_or("TriggerAuthentication");
            if cluster.find(kind, namespace_of(scaled), name).is_none() {
                let field = format!("spec.triggers[{index}].authenticationRef.name");
                findings.push(Finding::of(
                    scaled,
                    field,
                    format!("there is no {kind} {name}"),
                ));
            }
        }
    }
    for authentication in cluster.manifests.of("TriggerAuthentication") {
        for (index, secret) in authentication.list("/spec/secretTargetRef").enumerate() {
            let (name, key) = (
                secret["name"].as_str().unwrap_or_default(),
                secret["key"].as_str(),
            );
            if !cluster.has_key("Secret", namespace_of(authentication), name, key) {
                let field = format!("spec.secretTargetRef[{index}]");
                let problem = format!(
                    "there is no Secret {name} with the key {}",
                    key.unwrap_or_default()
                );
                findings.push(Finding::of(authentication, field, problem));
            }
        }
    }
}

/// The pods that are scaled.
fn target<'a>(
    cluster: &'a Cluster<'_>,
    scaler: &Object,
    findings: &mut Vec<Finding>,
) -> Option<&'a Pod<'a>> {
    let target = scaler.at("/spec/scaleTargetRef");
    let name = target["name"].as_str().unwrap_or_default();
    let kind = target
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("Deployment");
    let mut pods = cluster.pods().iter();
    let found = pods.find(|pod| {
        pod.owner.kind == kind && pod.owner.name == name && pod.namespace() == namespace_of(scaler)
    });
    if found.is_none() {
        findings.push(Finding::of(
            scaler,
            "spec.scaleTargetRef",
            format!("there is no {kind} {name}"),
        ));
    }
    found
}
