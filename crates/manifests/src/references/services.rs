//! Services lead to ports of pods; APIServices and bindings to what they name.

use crate::{Cluster, Finding, cluster::namespace_of};

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for service in cluster.manifests.of("Service") {
        let Some(labels) = service.body.pointer("/spec/selector") else {
            continue;
        };
        let pods: Vec<_> = cluster.selected(namespace_of(service), labels).collect();
        if pods.is_empty() {
            findings.push(Finding::of(service, "spec.selector", "selects no pod"));
        }
        for (index, port) in service.list("/spec/ports").enumerate() {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            for pod in pods.iter().filter(|pod| pod.port(target).is_none()) {
                let problem = format!("{} declares no port {target}", pod.owner);
                findings.push(Finding::of(
                    service,
                    format!("spec.ports[{index}].targetPort"),
                    problem,
                ));
            }
        }
    }
    for service in cluster.manifests.of("APIService") {
        let reference = service.at("/spec/service");
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let port = reference["port"].as_u64().unwrap_or(443);
        let ports = cluster.service(text("name"), text("namespace"));
        if !ports.is_some_and(|ports| ports.iter().any(|known| u64::from(*known) == port)) {
            let problem = format!(
                "there is no Service {}/{} with the port {port}",
                text("namespace"),
                text("name")
            );
            findings.push(Finding::of(service, "spec.service", problem));
        }
    }
    bindings(cluster, findings);
}

fn bindings(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    let kinds = ["RoleBinding", "ClusterRoleBinding"];
    for binding in kinds.iter().flat_map(|kind| cluster.manifests.of(kind)) {
        let role = binding.at("/roleRef");
        let kind = role["kind"].as_str().unwrap_or_default();
        let name = role["name"].as_str().unwrap_or_default();
        // Roles that every cluster has: `system:auth-delegator`, `extension-apiserver-authentication-reader`, `view`.
        let known = name.starts_with("system:")
            || name.starts_with("extension-apiserver-")
            || name == "view";
        if !known && cluster.manifests.get(kind, name).is_none() {
            findings.push(Finding::of(
                binding,
                "roleRef.name",
                format!("there is no {kind} {name}"),
            ));
        }
        for (index, subject) in binding.list("/subjects").enumerate() {
            let name = subject["name"].as_str().unwrap_or_default();
            let namespace = subject["namespace"]
                .as_str()
                .unwrap_or_else(|| namespace_of(binding));
            let outside = cluster.outside.accounts.contains(&(namespace, name));
            if subject["kind"] == "ServiceAccount"
                && !outside
                && cluster.find("ServiceAccount", namespace, name).is_none()
            {
                let problem = format!("there is no ServiceAccount {namespace}/{name}");
                findings.push(Finding::of(binding, format!("subjects[{index}]"), problem));
            }
        }
    }
}
