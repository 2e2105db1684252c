//! Disruption budgets and network policies select somebody, and open ports that somebody listens on.

use serde_json::Value;

use crate::{Cluster, Finding, Object, Pod, cluster::namespace_of};

/// The sidecar answers the scrape of both there.
const MERGED_METRICS: u64 = 15020;

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for budget in cluster.manifests.of("PodDisruptionBudget") {
        let labels = budget.at("/spec/selector");
        if !cluster.anybody(namespace_of(budget), labels) {
            findings.push(Finding::of(budget, "spec.selector", "selects no pod"));
        }
    }
    for policy in cluster.manifests.of("NetworkPolicy") {
        let labels = policy.at("/spec/podSelector");
        if !cluster.anybody(namespace_of(policy), labels) {
            findings.push(Finding::of(policy, "spec.podSelector", "selects no pod"));
        }
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in policy.list(&format!("/spec/{direction}")).enumerate() {
                let field = format!("spec.{direction}[{index}]");
                for (number, peer) in items(&rule[peers]).enumerate() {
                    let field = format!("{field}.{peers}[{number}]");
                    if !peer_exists(cluster, policy, peer) {
                        findings.push(Finding::of(policy, &field, "selects no pod"));
                    } else if direction == "egress" {
                        ports_of_peer(cluster, policy, peer, &rule["ports"], &field, findings);
                    }
                }
                if direction == "ingress" {
                    let pods: Vec<_> = cluster.selected(namespace_of(policy), labels).collect();
                    for (number, port) in items(&rule["ports"]).enumerate() {
                        let known = |port: &Value| {
                            *port == MERGED_METRICS
                                || pods.iter().any(|pod| pod.port(port).is_some())
                        };
                        if !pods.is_empty() && port.get("port").is_some_and(|port| !known(port)) {
                            let problem = format!(
                                "nobody who is selected declares the port {}",
                                port["port"]
                            );
                            findings.push(Finding::of(
                                policy,
                                format!("{field}.ports[{number}]"),
                                problem,
                            ));
                        }
                    }
                }
            }
        }
    }
}

/// The namespaces a peer may be in; none: any.
fn namespaces<'a>(
    cluster: &'a Cluster<'_>,
    policy: &'a Object,
    peer: &'a Value,
) -> Option<Vec<&'a str>> {
    let Some(selector) = peer.get("namespaceSelector") else {
        return Some(vec![namespace_of(policy)]);
    };
    let labels = selector["matchLabels"].as_object()?;
    if let Some(name) = labels.get("kubernetes.io/metadata.name") {
        return Some(name.as_str().into_iter().collect());
    }
    let carries = |namespace: &&Object| {
        let carried = namespace.at("/metadata/labels");
        labels
            .iter()
            .all(|(name, value)| carried.get(name) == Some(value))
    };
    let found = cluster.manifests.of("Namespace").filter(carries);
    Some(found.map(|namespace| namespace.name.as_str()).collect())
}

fn peer_exists(cluster: &Cluster<'_>, policy: &Object, peer: &Value) -> bool {
    let labels = &peer["podSelector"];
    match namespaces(cluster, policy, peer) {
        _ if peer.get("ipBlock").is_some() => true,
        None => labels.is_null() || cluster.pods().iter().any(|pod| pod.fits(labels)),
        Some(namespaces) => namespaces
            .iter()
            .any(|namespace| cluster.anybody(namespace, labels)),
    }
}

/// Going out is of use only to a port that the peer has.
fn ports_of_peer(
    cluster: &Cluster<'_>,
    policy: &Object,
    peer: &Value,
    ports: &Value,
    field: &str,
    findings: &mut Vec<Finding>,
) {
    let labels = &peer["podSelector"];
    let Some(namespaces) = namespaces(cluster, policy, peer) else {
        return;
    };
    for port in items(ports).filter_map(|port| port.get("port")) {
        let known = namespaces.iter().any(|namespace| {
            let outside = |pod: &crate::OutsidePod| pod.ports.iter().any(|known| *port == *known);
            cluster
                .selected(namespace, labels)
                .any(|pod: &Pod<'_>| *port == MERGED_METRICS || pod.port(port).is_some())
                || cluster.selected_outside(namespace, labels).any(outside)
        });
        if !known && peer.get("ipBlock").is_none() {
            findings.push(Finding::of(
                policy,
                field,
                format!("nobody there declares the port {port}"),
            ));
        }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
