//! What the manifests count on and do not bring along.

use std::fs;

use mesh_manifests::{Manifests, Outside, OutsidePod, Provider};

use super::sets::root;

/// Whose secrets are made by hand, before it is applied.
const PRODUCTION: &str = "deploy/overlays/production";

/// The surroundings: a cluster with Istio, KEDA and DNS.
#[must_use]
pub fn outside(set: &Manifests) -> Outside {
    let pod = |namespace, labels, ports| OutsidePod {
        namespace,
        labels,
        ports,
    };
    let by_hand = set
        .iter()
        .any(|object| object.source.starts_with(PRODUCTION));
    Outside {
        pods: vec![
            pod("kube-system", &[("k8s-app", "kube-dns")], &[53]),
            pod("istio-system", &[("app", "istiod")], &[15012]),
            pod("istio-ingress", &[("istio", "ingressgateway")], &[80, 443]),
            pod("keda", &[("app", "keda-operator")], &[]),
        ],
        services: vec![],
        accounts: vec![
            ("istio-ingress", "istio-ingressgateway"),
            ("istio-ingress", "istio-ingressgateway-service-account"),
        ],
        providers: providers(),
        secrets: if by_hand {
            secrets_made_by_hand()
        } else {
            vec![]
        },
    }
}

/// What Istio is installed with.
fn providers() -> Vec<Provider> {
    let file = root().join("istio/install/istio-operator.yaml");
    let installed = Manifests::file(&file).expect("it can be read");
    let installed = installed.get("IstioOperator", "shop").expect("it is there");
    let providers = installed.list("/spec/meshConfig/extensionProviders");
    let read = providers.filter_map(|provider| {
        let collector = &provider["opentelemetry"];
        Some(Provider {
            name: provider["name"].as_str()?.to_owned(),
            service: collector["service"].as_str()?.to_owned(),
            port: collector["port"].as_u64()?.try_into().ok()?,
        })
    });
    read.collect()
}

/// As the comment of the overlay tells people to make them:
/// `kubectl -n shop create secret generic orders --from-literal=store-url=… --from-literal=queue-url=…`
fn secrets_made_by_hand() -> Vec<[String; 3]> {
    let file = root().join(PRODUCTION).join("kustomization.yaml");
    let text = fs::read_to_string(file).expect("the overlay is there");
    let mut secrets = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [
            "#",
            "kubectl",
            "-n",
            namespace,
            "create",
            "secret",
            "generic",
            name,
            ref keys @ ..,
        ] = words[..]
        else {
            continue;
        };
        for key in keys
            .iter()
            .filter_map(|word| word.strip_prefix("--from-literal="))
        {
            let key = key.split('=').next().unwrap_or_default();
            secrets.push([namespace, name, key].map(str::to_owned));
        }
    }
    assert!(!secrets.is_empty(), "the overlay names no secret to make");
    secrets
}
