//! How ports are called decides what a sidecar takes them for: a gRPC port named `http-…` gets HTTP/1.1, and an unnamed one
//! is guessed.

use crate::{Cluster, Finding, namespace_of};

/// What Istio reads from a name, up to the first `-`, or from `appProtocol`.
const PROTOCOLS: [&str; 11] = [
    "grpc", "grpc-web", "http", "http2", "https", "mongo", "mysql", "redis", "tcp", "tls", "udp",
];

/// Ports of Services whose protocol is not said, or said twice and differently; and `admin`, which is in no Service.
#[must_use]
pub fn ports(cluster: &Cluster<'_>, admin: u16) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in cluster.manifests().of("Service") {
        for (index, port) in service.list("/spec/ports").enumerate() {
            let mut problem = |place: &str, problem: String| {
                findings.push(Finding::of(
                    service,
                    format!("spec.ports[{index}].{place}"),
                    problem,
                ));
            };
            let name = port["name"].as_str().unwrap_or_default();
            let said = name.split('-').next().unwrap_or_default();
            if !PROTOCOLS.contains(&said) {
                problem(
                    "name",
                    format!("{name:?} names no protocol: expected <protocol>-<name>"),
                );
            }
            match port["appProtocol"].as_str() {
                Some(protocol) if protocol != said => {
                    problem(
                        "appProtocol",
                        format!("{protocol} is not what the name says, {said}"),
                    );
                }
                None if said == "grpc" => problem("appProtocol", "grpc is missing".to_owned()),
                Some(_) | None => {}
            }
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let labels = service.at("/spec/selector");
            let mut pods = cluster.selected(namespace_of(service), labels);
            if labels.is_object() && pods.any(|pod| pod.port(target) == Some(admin)) {
                problem(
                    "targetPort",
                    format!("is the admin port {admin}, which is in no Service"),
                );
            }
        }
    }
    findings
}
