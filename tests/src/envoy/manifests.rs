//! What `istio/` says, as the proxies are told it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use mesh_manifests::{DestinationRule, Manifests, Object, VirtualService};
use serde_json::Value;

use super::{
    auth,
    cluster::Endpoint,
    config::{Outbound, merge},
    route::{istio_default, seconds},
};

/// Manifests of Istio; a service that they do not name gets what Istio does by itself.
#[derive(Debug, Clone)]
pub struct Istio(Manifests);

impl Istio {
    /// The shop's.
    #[must_use]
    pub fn of_the_shop() -> Self {
        Self::built("istio")
    }

    /// None.
    #[must_use]
    pub fn without_manifests() -> Self {
        Self(Manifests::default())
    }

    /// What kustomize makes of a folder of the checkout.
    ///
    /// # Panics
    ///
    /// When it makes nothing of it.
    #[must_use]
    pub fn built(folder: &str) -> Self {
        Self(built(&root().join(folder)))
    }

    /// The same with another folder applied over it.
    ///
    /// # Panics
    ///
    /// When it makes nothing of it.
    #[must_use]
    pub fn under(mut self, folder: &Path) -> Self {
        self.0.put_over(built(folder));
        self
    }

    /// The same with another timeout on every route of a service.
    ///
    /// # Panics
    ///
    /// When it has no VirtualService.
    #[must_use]
    pub fn with_timeout(mut self, service: &str, timeout: Duration) -> Self {
        let named = |object: &Object| object.kind == "VirtualService" && object.name == service;
        let object = self.0.iter_mut().find(|object| named(object));
        let routes =
            object.and_then(|object| object.body.pointer_mut("/spec/http")?.as_array_mut());
        for route in routes.expect("it has routes") {
            route["timeout"] = seconds(timeout);
        }
        self
    }

    /// The names of all services that have a VirtualService.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.0
            .of("VirtualService")
            .map(|object| object.name.as_str())
    }

    /// The VirtualService of a service.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn virtual_service(&self, service: &str) -> Option<VirtualService> {
        let object = self.0.get("VirtualService", service)?;
        Some(VirtualService::read(object).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The way to a service.
    ///
    /// # Panics
    ///
    /// When a manifest cannot be read.
    #[must_use]
    pub fn outbound(
        &self,
        host: &'static str,
        listen: SocketAddr,
        endpoints: &[Endpoint],
    ) -> Outbound {
        let routes = self.virtual_service(host);
        let rule = |object: &Object| {
            DestinationRule::read(object).unwrap_or_else(|error| panic!("{error}"))
        };
        Outbound {
            name: host.to_owned(),
            host,
            listen,
            endpoints: endpoints.to_vec(),
            routes: routes.map_or_else(|| vec![istio_default(host)], |service| service.http),
            rule: self.0.get("DestinationRule", host).map(rule),
            edge: None,
            tokens: Vec::new(),
        }
    }

    /// The way from outside to the gateway, through an ingress that has every EnvoyFilter made for it.
    #[must_use]
    pub fn ingress(&self, listen: SocketAddr, gateway: Endpoint) -> Outbound {
        let filters = self.0.of("EnvoyFilter").flat_map(|filter| {
            assert_eq!(
                filter.at("/spec/workloadSelector/labels/istio"),
                "ingressgateway",
                "{filter}"
            );
            filter.list("/spec/configPatches")
        });
        let mut edge = Value::Object(serde_json::Map::new());
        for patch in filters {
            assert_eq!(
                patch["applyTo"], "NETWORK_FILTER",
                "others are not translated: {patch}"
            );
            assert_eq!(
                patch["patch"]["operation"], "MERGE",
                "others are not translated: {patch}"
            );
            merge(&mut edge, &patch["patch"]["value"]["typed_config"]);
        }
        Outbound {
            edge: Some(edge),
            tokens: auth::filters(&self.0),
            ..self.outbound("gateway", listen, &[gateway])
        }
    }
}

fn built(folder: &Path) -> Manifests {
    Manifests::kustomize(folder).unwrap_or_else(|error| panic!("{error}"))
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
