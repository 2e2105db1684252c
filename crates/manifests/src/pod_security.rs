//! Kubernetes' restricted Pod Security Standard, for namespaces that enforce it: the API server refuses such pods only when
//! the Deployment makes them, and then there are none.

use serde_json::Value;

use crate::{Cluster, Finding, Pod};

/// Volumes that are allowed.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Everything that restricted Pod Security refuses.
#[must_use]
pub fn pod_security(cluster: &Cluster<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in cluster.pods() {
        let namespace = cluster.manifests().get("Namespace", pod.namespace());
        let enforced = namespace.is_some_and(|namespace| {
            let labels = namespace.at("/metadata/labels");
            labels["pod-security.kubernetes.io/enforce"] == "restricted"
        });
        if enforced {
            of_pod(pod, &mut findings);
            for (field, container) in pod.containers() {
                of_container(pod, &field, container, &mut findings);
            }
        }
    }
    findings
}

fn of_pod(pod: &Pod<'_>, findings: &mut Vec<Finding>) {
    let mut problem = |field: &str, problem: &str| {
        findings.push(Finding::of(
            pod.owner,
            format!("{}.spec.{field}", pod.field),
            problem,
        ));
    };
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.spec()[host] == true {
            problem(host, "restricted Pod Security refuses it");
        }
    }
    for (index, volume) in items(&pod.spec()["volumes"]).enumerate() {
        let kinds = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        if let Some(kind) = kinds
            .into_iter()
            .find(|kind| *kind != "name" && !VOLUMES.contains(kind))
        {
            problem(
                &format!("volumes[{index}].{kind}"),
                "restricted Pod Security refuses such volumes",
            );
        }
    }
    if items(&pod.spec()["securityContext"]["sysctls"])
        .next()
        .is_some()
    {
        problem(
            "securityContext.sysctls",
            "restricted Pod Security refuses all but a few",
        );
    }
}

fn of_container(pod: &Pod<'_>, field: &str, container: &Value, findings: &mut Vec<Finding>) {
    let own = &container["securityContext"];
    // What a container does not say, its pod says.
    let either = |name: &str| {
        own.get(name)
            .unwrap_or(&pod.spec()["securityContext"][name])
    };
    let mut wrong = |wrong: bool, name: &str, wanted: &str| {
        if wrong {
            findings.push(Finding::of(
                pod.owner,
                format!("{field}.securityContext.{name}"),
                wanted,
            ));
        }
    };
    wrong(own["privileged"] == true, "privileged", "must not be true");
    wrong(
        own["allowPrivilegeEscalation"] != false,
        "allowPrivilegeEscalation",
        "must be false",
    );
    wrong(
        either("runAsNonRoot") != true,
        "runAsNonRoot",
        "must be true, here or for the pod",
    );
    wrong(*either("runAsUser") == 0, "runAsUser", "must not be 0");
    let seccomp = either("seccompProfile")["type"].as_str();
    let wanted = "must be RuntimeDefault or Localhost, here or for the pod";
    wrong(
        !matches!(seccomp, Some("RuntimeDefault" | "Localhost")),
        "seccompProfile.type",
        wanted,
    );
    let drops = items(&own["capabilities"]["drop"]).any(|dropped| dropped == "ALL");
    wrong(!drops, "capabilities.drop", "must contain ALL");
    let adds = items(&own["capabilities"]["add"]).any(|added| added != "NET_BIND_SERVICE");
    wrong(
        adds,
        "capabilities.add",
        "may contain NET_BIND_SERVICE alone",
    );
    let host_port = items(&container["ports"]).any(|port| port.get("hostPort").is_some());
    wrong(
        host_port,
        "ports",
        "hostPort is refused by restricted Pod Security",
    );
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
