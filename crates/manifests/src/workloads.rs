//! What every process of the mesh needs around it, and what its pods must be like.

use std::time::Duration;

use serde_json::Value;

use crate::{Cluster, Finding, Object, Pod, namespace_of};

/// What is asked of the processes.
#[derive(Debug, Clone)]
pub struct Processes<'a> {
    /// Where they run.
    pub namespace: &'a str,
    /// Their names: Deployment, `app` label, ServiceAccount and container are called so.
    pub names: &'a [&'a str],
    /// Whether Istio's policies are part of the manifests.
    pub mesh: bool,
    /// `MESH_DRAIN_TIMEOUT` where a container does not set it.
    pub drain_timeout: Duration,
}

/// What is between the end of the drain and the end of the process: it says what it cut and sends its last spans.
const LAST_WORDS: Duration = Duration::from_secs(1);
const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
/// What everything that is deployed is found by.
const LABELS: [&str; 4] = [
    "app",
    "version",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
];

/// Everything that a process lacks.
#[must_use]
pub fn workloads(cluster: &Cluster<'_>, processes: &Processes<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in processes.names {
        let all = cluster.pods().iter();
        let pods: Vec<_> = all
            .filter(|pod| pod.owner.kind == "Deployment" && pod.namespace() == processes.namespace)
            .filter(|pod| pod.label("app") == Some(name))
            .collect();
        let process = pods.iter().find(|pod| pod.owner.name == *name);
        if process.is_none() {
            findings.push(Finding {
                object: format!("Deployment {}/{name}", processes.namespace),
                field: String::new(),
                problem: "is missing".to_owned(),
            });
        }
        for pod in &pods {
            if let Some(process) = process {
                told_the_same(pod, process, name, &mut findings);
            }
            template(pod, name, &mut findings);
            life(pod, processes.drain_timeout, &mut findings);
            scaled_by_one(cluster, pod, name, &mut findings);
            guarded(cluster, pod, processes.mesh, &mut findings);
        }
    }
    for pod in cluster.pods() {
        versioned(pod, &mut findings);
    }
    autoscalers(cluster, &mut findings);
    findings
}

/// `istioctl validate` warns of a Deployment whose pods do not say which version they are.
fn versioned(pod: &Pod<'_>, findings: &mut Vec<Finding>) {
    let mut labels = ["version", "app.kubernetes.io/version"].into_iter();
    if pod.owner.kind == "Deployment" && !labels.any(|label| pod.label(label).is_some()) {
        let field = format!("{}.metadata.labels", pod.field);
        findings.push(Finding::of(pod.owner, field, "say no version"));
    }
}

fn template(pod: &Pod<'_>, name: &str, findings: &mut Vec<Finding>) {
    let mut problem = |field: &str, problem: String| {
        findings.push(Finding::of(
            pod.owner,
            format!("{}.{field}", pod.field),
            problem,
        ));
    };
    for label in LABELS.iter().filter(|label| pod.label(label).is_none()) {
        problem("metadata.labels", format!("{label} is missing"));
    }
    let spec = pod.spec();
    if spec["serviceAccountName"] != name {
        problem(
            "spec.serviceAccountName",
            format!("must be {name}: its name is the identity in the mesh"),
        );
    }
    if spec["enableServiceLinks"] != false {
        problem(
            "spec.enableServiceLinks",
            "must be false: variables of every Service would come in".to_owned(),
        );
    }
    if spec["topologySpreadConstraints"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        problem("spec.topologySpreadConstraints", "is missing".to_owned());
    }
    if !pod
        .containers()
        .any(|(_, container)| container["name"] == name)
    {
        problem("spec.containers", format!("no container is called {name}"));
    }
    for (field, container) in pod.containers() {
        of_container(pod, &field, container, findings);
    }
}

fn of_container(pod: &Pod<'_>, field: &str, container: &Value, findings: &mut Vec<Finding>) {
    let mut problem = |place: &str, text: &str| {
        findings.push(Finding::of(pod.owner, format!("{field}.{place}"), text))
    };
    for probe in PROBES
        .iter()
        .filter(|probe| container.get(**probe).is_none())
    {
        problem(probe, "is missing");
    }
    for probe in PROBES {
        let number = |name: &str, default: u64| container[probe][name].as_u64().unwrap_or(default);
        if number("timeoutSeconds", 1) > number("periodSeconds", 10) {
            problem(probe, "its timeout is longer than its period");
        }
    }
    for resource in ["cpu", "memory"] {
        if container["resources"]["requests"].get(resource).is_none() {
            problem(
                "resources.requests",
                &format!("{resource} is missing: autoscaling and scheduling need it"),
            );
        }
    }
    if container["resources"]["limits"].get("memory").is_none() {
        problem("resources.limits", "memory is missing");
    }
    if container["securityContext"]["readOnlyRootFilesystem"] != true {
        problem("securityContext.readOnlyRootFilesystem", "must be true");
    }
}

/// A canary knows every variable that the process does: it is made of the base, which is not all that an overlay says.
fn told_the_same(pod: &Pod<'_>, process: &Pod<'_>, name: &str, findings: &mut Vec<Finding>) {
    let variables = |pod: &Pod<'_>| -> Vec<String> {
        pod.containers()
            .filter(|(_, container)| container["name"] == name)
            .flat_map(|(_, container)| container["env"].as_array().into_iter().flatten())
            .filter_map(|variable| variable["name"].as_str().map(str::to_owned))
            .collect()
    };
    let told = variables(pod);
    for variable in variables(process) {
        if !told.contains(&variable) {
            findings.push(Finding::of(
                pod.owner,
                format!("{}.spec.containers.{name}.env", pod.field),
                format!("{variable} is missing, which {} has", process.owner),
            ));
        }
    }
}

/// The kubelet kills what is left after the grace period: hook, drain and last words must fit in.
fn life(pod: &Pod<'_>, default: Duration, findings: &mut Vec<Finding>) {
    let grace = pod.spec()["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap_or(30);
    for (field, container) in pod.containers() {
        let drain = variable(container, "MESH_DRAIN_TIMEOUT")
            .and_then(|text| mesh_config::parse_duration(text).ok());
        let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            .as_u64()
            .unwrap_or(0);
        let needed = Duration::from_secs(pause) + drain.unwrap_or(default) + LAST_WORDS;
        if Duration::from_secs(grace) < needed {
            let problem =
                format!("{grace} s are less than the {needed:?} that {field} takes to stop");
            findings.push(Finding::of(
                pod.owner,
                format!("{}.spec.terminationGracePeriodSeconds", pod.field),
                problem,
            ));
        }
    }
}

/// The text a variable is set to, where it is.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let mut variables = container["env"].as_array()?.iter();
    variables.find(|variable| variable["name"] == name)?["value"].as_str()
}

/// Exactly one autoscaler owns the number of replicas. A canary beside the process has a fixed, small number.
fn scaled_by_one(cluster: &Cluster<'_>, pod: &Pod<'_>, name: &str, findings: &mut Vec<Finding>) {
    let scalers: Vec<_> = scalers(cluster)
        .filter(|scaler| target(scaler) == (namespace_of(pod.owner), pod.owner.name.as_str()))
        .collect();
    let canary = pod.owner.name != name;
    let replicas = !pod.owner.at("/spec/replicas").is_null();
    match scalers[..] {
        [] if canary && replicas => {}
        [] => findings.push(Finding::of(
            pod.owner,
            "",
            "has neither an HPA nor a ScaledObject",
        )),
        [_] if replicas => {
            let problem = "must be absent: an apply would reset what the autoscaler decided";
            findings.push(Finding::of(pod.owner, "spec.replicas", problem));
        }
        [_] => {}
        _ => {
            let names: Vec<_> = scalers.iter().map(ToString::to_string).collect();
            let problem = format!(
                "has several autoscalers, so that none works: {}",
                names.join(", ")
            );
            findings.push(Finding::of(pod.owner, "", problem));
        }
    }
}

fn scalers<'a>(cluster: &Cluster<'a>) -> impl Iterator<Item = &'a Object> {
    let kinds = ["HorizontalPodAutoscaler", "ScaledObject"];
    let manifests = cluster.manifests();
    kinds.into_iter().flat_map(|kind| manifests.of(kind))
}

fn target(scaler: &Object) -> (&str, &str) {
    let name = scaler.at("/spec/scaleTargetRef/name").as_str();
    (namespace_of(scaler), name.unwrap_or_default())
}

fn guarded(cluster: &Cluster<'_>, pod: &Pod<'_>, mesh: bool, findings: &mut Vec<Finding>) {
    let selects = |kind: &str, selector: &str| {
        let mut objects = cluster.manifests().of(kind);
        objects.any(|object| {
            let labels = object.at(selector);
            let says = labels.as_object().is_some_and(|labels| !labels.is_empty());
            // One direction alone leaves the other to whoever comes next.
            let both = kind != "NetworkPolicy" || object.list("/spec/policyTypes").count() == 2;
            namespace_of(object) == pod.namespace() && says && both && pod.fits(labels)
        })
    };
    let mut needed = vec![
        ("PodDisruptionBudget", "/spec/selector"),
        ("NetworkPolicy", "/spec/podSelector"),
    ];
    if mesh {
        needed.push(("AuthorizationPolicy", "/spec/selector"));
    }
    for (kind, selector) in needed {
        if !selects(kind, selector) {
            findings.push(Finding::of(
                pod.owner,
                "",
                format!("no {kind} selects its pods"),
            ));
        }
    }
}

/// What only the API server would refuse, or what would never do anything.
fn autoscalers(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    for (kind, least, most, default) in [
        (
            "HorizontalPodAutoscaler",
            "/spec/minReplicas",
            "/spec/maxReplicas",
            1,
        ),
        (
            "ScaledObject",
            "/spec/minReplicaCount",
            "/spec/maxReplicaCount",
            0,
        ),
    ] {
        for scaler in cluster.manifests().of(kind) {
            let least = scaler.at(least).as_u64().unwrap_or(default);
            let most = scaler.at(most).as_u64().unwrap_or(100);
            if least > most {
                findings.push(Finding::of(
                    scaler,
                    "spec",
                    format!("at least {least} replicas are more than at most {most}"),
                ));
            }
            let resource = |metric: &Value| metric["type"] == "Resource";
            if scaler.list("/spec/metrics").any(resource) {
                let problem =
                    "Resource counts the sidecar too: name the container (ContainerResource)";
                findings.push(Finding::of(scaler, "spec.metrics", problem));
            }
            for useless in ["pollingInterval", "cooldownPeriod"] {
                if least > 0 && scaler.at("/spec").get(useless).is_some() {
                    let problem = "does nothing with at least one replica: KEDA warns of it";
                    findings.push(Finding::of(scaler, format!("spec.{useless}"), problem));
                }
            }
        }
    }
}
