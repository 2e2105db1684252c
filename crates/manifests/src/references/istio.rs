//! Istio's objects lead to services, subsets, gateways, pods and accounts.

use serde_json::Value;

use crate::{Cluster, Destination, Finding, Object, VirtualService, cluster::namespace_of};

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for object in cluster.manifests.of("VirtualService") {
        match VirtualService::read(object) {
            Ok(service) => virtual_service(cluster, object, &service, findings),
            Err(error) => findings.push(Finding::of(object, "", error.to_string())),
        }
    }
    for rule in cluster.manifests.of("DestinationRule") {
        let host = rule.at("/spec/host").as_str().unwrap_or_default();
        if cluster.service(host, namespace_of(rule)).is_none() {
            findings.push(Finding::of(
                rule,
                "spec.host",
                format!("there is no service {host}"),
            ));
        }
    }
    for object in cluster
        .manifests
        .iter()
        .filter(|object| object.api_version.contains(".istio.io/"))
    {
        for selector in [
            "/spec/selector/matchLabels",
            "/spec/selector",
            "/spec/workloadSelector/labels",
        ] {
            let labels = object.at(selector);
            let is_labels = labels
                .as_object()
                .is_some_and(|labels| labels.values().all(Value::is_string));
            if is_labels && !cluster.anybody(namespace_of(object), labels) {
                let field = selector.trim_start_matches('/').replace('/', ".");
                findings.push(Finding::of(object, field, "selects no pod"));
            }
        }
    }
    for policy in cluster.manifests.of("AuthorizationPolicy") {
        authorization(cluster, policy, findings);
    }
    for telemetry in cluster.manifests.of("Telemetry") {
        tracing(cluster, telemetry, findings);
    }
    for sidecar in cluster.manifests.of("Sidecar") {
        for (index, egress) in sidecar.list("/spec/egress").enumerate() {
            for host in texts(&egress["hosts"]).filter(|host| !known_egress(cluster, sidecar, host))
            {
                findings.push(Finding::of(
                    sidecar,
                    format!("spec.egress[{index}].hosts"),
                    format!("there is no service {host}"),
                ));
            }
        }
    }
}

/// Proxies export to a provider that is installed, whose collector is there and which they are allowed to know.
fn tracing(cluster: &Cluster<'_>, telemetry: &Object, findings: &mut Vec<Finding>) {
    let mut problem =
        |text: String| findings.push(Finding::of(telemetry, "spec.tracing.providers", text));
    let named = telemetry
        .list("/spec/tracing")
        .flat_map(|rule| items(&rule["providers"]));
    for name in named.filter_map(|provider| provider["name"].as_str()) {
        let mut providers = cluster.outside.providers.iter();
        let Some(provider) = providers.find(|provider| provider.name == name) else {
            problem(format!("Istio is installed without a provider {name}"));
            continue;
        };
        let (host, namespace) = (&provider.service, namespace_of(telemetry));
        let ports = cluster.service(host, namespace).unwrap_or_default();
        if !ports.contains(&provider.port) {
            problem(format!(
                "there is no service {host} with the port {}",
                provider.port
            ));
        }
        let mut sidecars = cluster.manifests.of("Sidecar");
        let own = sidecars.find(|sidecar| namespace_of(sidecar) == namespace);
        let knows = |sidecar: &Object| {
            let hosts = sidecar
                .list("/spec/egress")
                .flat_map(|egress| texts(&egress["hosts"]));
            let names = hosts.filter_map(|known| known.split_once('/'));
            names.into_iter().any(|(_, known)| known == host)
        };
        if own.is_some_and(|sidecar| !knows(sidecar)) {
            problem(format!(
                "no Sidecar names {host}: spans would be lost without a word"
            ));
        }
    }
}

fn virtual_service(
    cluster: &Cluster<'_>,
    object: &Object,
    service: &VirtualService,
    findings: &mut Vec<Finding>,
) {
    let namespace = namespace_of(object);
    for gateway in service.gateways.iter().filter(|gateway| *gateway != "mesh") {
        let (of, name) = gateway.split_once('/').unwrap_or((namespace, gateway));
        if cluster.find("Gateway", of, name).is_none() {
            findings.push(Finding::of(
                object,
                "spec.gateways",
                format!("there is no Gateway {of}/{name}"),
            ));
        }
    }
    // At a gateway hosts are names of the outer world.
    if service.gateways.is_empty() || service.gateways.iter().any(|gateway| gateway == "mesh") {
        for host in service
            .hosts
            .iter()
            .filter(|host| cluster.service(host, namespace).is_none())
        {
            findings.push(Finding::of(
                object,
                "spec.hosts",
                format!("there is no service {host}"),
            ));
        }
    }
    for (index, route) in service.http.iter().enumerate() {
        for (number, weighted) in route.route.iter().enumerate() {
            let field = format!("spec.http[{index}].route[{number}].destination");
            destination(cluster, object, &weighted.destination, &field, findings);
        }
    }
}

fn destination(
    cluster: &Cluster<'_>,
    object: &Object,
    to: &Destination,
    field: &str,
    findings: &mut Vec<Finding>,
) {
    let namespace = namespace_of(object);
    let mut problem =
        |field: String, problem: String| findings.push(Finding::of(object, field, problem));
    let Some(ports) = cluster.service(&to.host, namespace) else {
        return problem(
            format!("{field}.host"),
            format!("there is no service {}", to.host),
        );
    };
    match to.port {
        Some(port) if !ports.contains(&port) => {
            problem(
                format!("{field}.port"),
                format!("the service {} has no port {port}", to.host),
            );
        }
        None if ports.len() != 1 => {
            problem(
                format!("{field}.port"),
                format!("is missing, and the service {} has several", to.host),
            );
        }
        Some(_) | None => {}
    }
    let Some(subset) = &to.subset else { return };
    let mut rules = cluster.manifests.of("DestinationRule");
    let known = rules.any(|rule| {
        rule.at("/spec/host") == to.host.as_str()
            && namespace_of(rule) == namespace
            && rule
                .list("/spec/subsets")
                .any(|known| known["name"] == subset.as_str())
    });
    if !known {
        problem(
            format!("{field}.subset"),
            format!(
                "no DestinationRule names the subset {subset} of {}",
                to.host
            ),
        );
    }
}

fn authorization(cluster: &Cluster<'_>, policy: &Object, findings: &mut Vec<Finding>) {
    let labels = policy.at("/spec/selector/matchLabels");
    for (index, rule) in policy.list("/spec/rules").enumerate() {
        let sources = items(&rule["from"]).map(|from| &from["source"]);
        for principal in sources.flat_map(|source| texts(&source["principals"])) {
            if !known_principal(cluster, principal) {
                let problem = format!("there is no ServiceAccount for {principal}");
                findings.push(Finding::of(
                    policy,
                    format!("spec.rules[{index}].from.source.principals"),
                    problem,
                ));
            }
        }
        let operations = items(&rule["to"]).map(|to| &to["operation"]);
        for port in operations.flat_map(|operation| texts(&operation["ports"])) {
            let number: Value = port.parse::<u64>().map_or(Value::Null, Value::from);
            let mut pods = cluster.selected(namespace_of(policy), labels);
            if !pods.any(|pod| pod.port(&number).is_some()) {
                let problem = format!("nobody who is selected declares the port {port}");
                findings.push(Finding::of(
                    policy,
                    format!("spec.rules[{index}].to.operation.ports"),
                    problem,
                ));
            }
        }
    }
}

/// `cluster.local/ns/<namespace>/sa/<account>`, or `*`.
fn known_principal(cluster: &Cluster<'_>, principal: &str) -> bool {
    let parts: Vec<_> = principal.split('/').collect();
    match parts[..] {
        ["*"] => true,
        ["cluster.local", "ns", namespace, "sa", account] => {
            cluster.outside.accounts.contains(&(namespace, account))
                || cluster.find("ServiceAccount", namespace, account).is_some()
        }
        _ => false,
    }
}

/// `namespace/host`, where `.` is the own one and `*` every host.
fn known_egress(cluster: &Cluster<'_>, sidecar: &Object, host: &str) -> bool {
    let Some((namespace, host)) = host.split_once('/') else {
        return false;
    };
    let namespace = match namespace {
        "." => namespace_of(sidecar),
        other => other,
    };
    let services = || cluster.manifests.of("Service");
    match host {
        "*" => {
            services().any(|service| namespace_of(service) == namespace)
                || cluster
                    .outside
                    .services
                    .iter()
                    .any(|(of, _, _)| *of == namespace)
        }
        host => cluster.service(host, namespace).is_some(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}
