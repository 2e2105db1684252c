//! Manifests as the objects see each other once they are applied: pods by their labels, services by their names.

use serde_json::Value;

use crate::{Manifests, Object};

/// What a set of manifests counts on and does not bring along.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Pods of others.
    pub pods: Vec<OutsidePod>,
    /// Namespace, name and port of services of others.
    pub services: Vec<(&'static str, &'static str, u16)>,
    /// Namespace and name of service accounts of others.
    pub accounts: Vec<(&'static str, &'static str)>,
    /// Where proxies send spans: providers that Istio is installed with.
    pub providers: Vec<Provider>,
    /// Namespace, name and key of what is in secrets that are made by hand.
    pub secrets: Vec<[String; 3]>,
}

/// One of Istio's `extensionProviders` for traces.
#[derive(Debug, Clone)]
pub struct Provider {
    /// As Telemetry names it.
    pub name: String,
    /// Host of the collector.
    pub service: String,
    /// Its port.
    pub port: u16,
}

/// A pod that somebody else brings.
#[derive(Debug, Clone)]
pub struct OutsidePod {
    /// Its namespace.
    pub namespace: &'static str,
    /// Labels that can be counted on.
    pub labels: &'static [(&'static str, &'static str)],
    /// Ports it listens on.
    pub ports: &'static [u16],
}

/// Manifests and what is around them.
#[derive(Debug)]
pub struct Cluster<'a> {
    pub(crate) manifests: &'a Manifests,
    pub(crate) outside: &'a Outside,
    pods: Vec<Pod<'a>>,
}

/// The pods that a workload makes.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// The Deployment, StatefulSet, …
    pub owner: &'a Object,
    /// Its pod template.
    pub template: &'a Value,
    /// Where that is, such as `spec.template`.
    pub field: &'static str,
}

impl<'a> Cluster<'a> {
    /// Manifests in surroundings.
    #[must_use]
    pub fn new(manifests: &'a Manifests, outside: &'a Outside) -> Self {
        Self {
            manifests,
            outside,
            pods: manifests.iter().filter_map(Pod::of).collect(),
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn manifests(&self) -> &'a Manifests {
        self.manifests
    }

    /// Every workload's pods.
    #[must_use]
    pub fn pods(&self) -> &[Pod<'a>] {
        &self.pods
    }

    /// Pods of a namespace that a selector selects: labels, or `matchLabels` and `matchExpressions`.
    pub fn selected(&self, namespace: &str, selector: &Value) -> impl Iterator<Item = &Pod<'a>> {
        let pods = self.pods.iter();
        pods.filter(move |pod| pod.namespace() == namespace && pod.fits(selector))
    }

    /// The same of pods that others bring.
    pub(crate) fn selected_outside(
        &self,
        namespace: &str,
        selector: &Value,
    ) -> impl Iterator<Item = &OutsidePod> {
        let pods = self.outside.pods.iter();
        pods.filter(move |pod| {
            let label = |name: &str| {
                let found = pod.labels.iter().find(|(label, _)| *label == name);
                found.map(|(_, value)| *value)
            };
            pod.namespace == namespace && fits(selector, label)
        })
    }

    /// Whether anybody is selected.
    pub(crate) fn anybody(&self, namespace: &str, selector: &Value) -> bool {
        self.selected(namespace, selector).next().is_some()
            || self.selected_outside(namespace, selector).next().is_some()
    }

    /// The object of that kind and name in a namespace.
    #[must_use]
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Object> {
        let mut objects = self.manifests.of(kind);
        objects.find(|object| namespace_of(object) == namespace && object.name == name)
    }

    /// Whether a host name, seen from a namespace, is a service; and its ports.
    #[must_use]
    pub fn service(&self, host: &str, from: &str) -> Option<Vec<u16>> {
        let host = host.strip_suffix(".cluster.local").unwrap_or(host);
        let host = host.strip_suffix(".svc").unwrap_or(host);
        let (name, namespace) = host.split_once('.').unwrap_or((host, from));
        if let Some(service) = self.find("Service", namespace, name) {
            let ports = service
                .list("/spec/ports")
                .filter_map(|port| port["port"].as_u64());
            return Some(ports.filter_map(|port| u16::try_from(port).ok()).collect());
        }
        let outside = self.outside.services.iter();
        let ports: Vec<_> = outside
            .filter(|(of, service, _)| *of == namespace && *service == name)
            .map(|(_, _, port)| *port)
            .collect();
        (!ports.is_empty()).then_some(ports)
    }

    /// Whether a ConfigMap or Secret has a key; none: whether it is there at all.
    #[must_use]
    pub fn has_key(&self, kind: &str, namespace: &str, name: &str, key: Option<&str>) -> bool {
        let made_by_hand = kind == "Secret"
            && self.outside.secrets.iter().any(|[of, secret, has]| {
                of == namespace && secret == name && key.is_none_or(|key| key == has)
            });
        let object = self.find(kind, namespace, name);
        made_by_hand
            || object.is_some_and(|object| {
                let has = |key| {
                    ["/data", "/stringData", "/binaryData"]
                        .iter()
                        .any(|part| object.at(part).get(key).is_some())
                };
                key.is_none_or(has)
            })
    }
}

/// Where an object will be.
#[must_use]
pub fn namespace_of(object: &Object) -> &str {
    object.namespace.as_deref().unwrap_or("default")
}

/// Whether labels fulfil a selector: a map of labels, or an object with `matchLabels` and `matchExpressions`.
fn fits<'l>(selector: &Value, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    let expressions = selector["matchExpressions"].as_array();
    let labels = match selector.get("matchLabels") {
        Some(labels) => labels,
        None if expressions.is_some() => &Value::Null,
        None => selector,
    };
    let mut labels = labels.as_object().into_iter().flatten();
    labels.all(|(name, value)| label(name) == value.as_str())
        && expressions.into_iter().flatten().all(|expression| {
            let carried = label(expression["key"].as_str().unwrap_or_default());
            let mut values = expression["values"].as_array().into_iter().flatten();
            let among = values.any(|value| carried.is_some() && carried == value.as_str());
            match expression["operator"].as_str() {
                Some("In") => among,
                Some("NotIn") => !among,
                Some("Exists") => carried.is_some(),
                Some("DoesNotExist") => carried.is_none(),
                _ => false,
            }
        })
}

impl<'a> Pod<'a> {
    fn of(owner: &'a Object) -> Option<Self> {
        let (pointer, field) = match owner.kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
                ("/spec/template", "spec.template")
            }
            "CronJob" => (
                "/spec/jobTemplate/spec/template",
                "spec.jobTemplate.spec.template",
            ),
            _ => return None,
        };
        Some(Self {
            owner,
            template: owner.at(pointer),
            field,
        })
    }

    /// Where they run.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        namespace_of(self.owner)
    }

    /// Their `spec`.
    #[must_use]
    pub fn spec(&self) -> &'a Value {
        &self.template["spec"]
    }

    /// A label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.template["metadata"]["labels"].get(name)?.as_str()
    }

    /// What they are replicas of, by their `app` label.
    #[must_use]
    pub fn app(&self) -> Option<&'a str> {
        self.label("app")
    }

    /// Whether a selector selects them.
    #[must_use]
    pub fn fits(&self, selector: &Value) -> bool {
        fits(selector, |name| self.label(name))
    }

    /// Their containers, those for the start first, each with the field it stands at.
    pub fn containers(&self) -> impl Iterator<Item = (String, &'a Value)> {
        let Self { field, .. } = *self;
        let spec = self.spec();
        ["initContainers", "containers"]
            .into_iter()
            .flat_map(move |kind| {
                let containers = spec[kind].as_array().into_iter().flatten().enumerate();
                containers.map(move |(index, container)| {
                    (format!("{field}.spec.{kind}[{index}]"), container)
                })
            })
    }

    /// The number of a port that is named or numbered, if a container declares it.
    #[must_use]
    pub fn port(&self, port: &Value) -> Option<u16> {
        self.containers()
            .find_map(|(_, container)| container_port(container, port))
    }
}

/// The number of a port that is named or numbered, if this container declares it.
#[must_use]
pub fn container_port(container: &Value, port: &Value) -> Option<u16> {
    let mut ports = container["ports"].as_array().into_iter().flatten();
    let declared =
        ports.find(|declared| declared["name"] == *port || declared["containerPort"] == *port)?;
    declared["containerPort"].as_u64()?.try_into().ok()
}
