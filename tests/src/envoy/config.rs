//! Static configuration for one Envoy: what istiod would send to the sidecar of a pod, or to the ingress.
//!
//! ```text
//!   inbound :port ─► the process            no retry, no timeout; its span is a SERVER's
//!   outbound :port ─► endpoints of a peer   routes and rule of the manifests; its span is a CLIENT's
//! ```

use std::net::SocketAddr;

use mesh_manifests::{DestinationRule, Fault, HttpRoute};
use serde_json::{Value, json};

use super::{
    cluster::{Endpoint, address, cluster, with_policy},
    route::{fault_filter, routes, with_fault},
};

/// The cluster of the OTLP receiver.
const OTLP: &str = "otlp";
/// The service that the ingress is.
pub const INGRESS: &str = "istio-ingressgateway";

/// One proxy: whom it serves, and whom it calls for it.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The process beside it.
    pub service: &'static str,
    /// Calls to the process.
    pub inbound: Option<Inbound>,
    /// Calls of the process, a listener for each peer.
    pub outbound: Vec<Outbound>,
    /// Where its spans go.
    pub tracing: Option<Tracing>,
}

/// The way to the process.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Where the sidecar listens.
    pub listen: SocketAddr,
    /// Where the process does.
    pub to: SocketAddr,
    /// HTTP/2, as gRPC is.
    pub http2: bool,
    /// What goes wrong with the first try of an RPC. No manifest says so: a test does.
    pub first_tries: Vec<(String, Fault)>,
}

/// The way to a peer.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Of its numbers, and of its cluster; of a subset's cluster `name-subset`.
    pub name: String,
    /// The peer's host.
    pub host: &'static str,
    /// Where the sidecar listens for calls to it.
    pub listen: SocketAddr,
    /// The peer's replicas.
    pub endpoints: Vec<Endpoint>,
    /// The first that fits is taken.
    pub routes: Vec<HttpRoute>,
    /// What holds for the replicas; none: what Istio thinks.
    pub rule: Option<DestinationRule>,
    /// Of an ingress: what an EnvoyFilter puts into its connection manager.
    pub edge: Option<Value>,
    /// Of an ingress: who is let in.
    pub tokens: Vec<Value>,
}

/// Spans by OTLP.
#[derive(Debug, Clone, Copy)]
pub struct Tracing {
    /// The receiver.
    pub to: SocketAddr,
    /// How many percent of what nobody has decided on are sampled.
    pub random_percent: u32,
}

impl Sidecar {
    /// All of it, with the admin listener at that address.
    pub(super) fn config(&self, admin: SocketAddr) -> Value {
        let mut listeners = Vec::new();
        let mut clusters = Vec::new();
        if let Some(inbound) = &self.inbound {
            let name = format!("inbound_{}", self.service);
            listeners.push(self.inbound(&name, inbound));
            clusters.push(cluster(
                &name,
                &[Endpoint::always(inbound.to)],
                inbound.http2,
            ));
        }
        for outbound in &self.outbound {
            listeners.push(self.outbound(outbound));
            clusters.extend(outbound.clusters());
        }
        if let Some(tracing) = self.tracing {
            clusters.push(cluster(OTLP, &[Endpoint::always(tracing.to)], true));
        }
        json!({
            "admin": { "address": address(admin) },
            "layered_runtime": { "layers": [{ "name": "static", "static_layer": {
                // Spans are sent at once, not every five seconds.
                "tracing.opentelemetry.flush_interval_ms": 50,
                "tracing.opentelemetry.min_flush_spans": 1,
            } }] },
            "static_resources": { "listeners": listeners, "clusters": clusters },
        })
    }

    fn inbound(&self, name: &str, inbound: &Inbound) -> Value {
        let route = |matched: &Value| {
            json!({
                "match": matched,
                "decorator": { "operation": format!("{}/*", self.service) },
                "route": {
                    "cluster": name,
                    "timeout": "0s",
                    "max_stream_duration": { "max_stream_duration": "0s", "grpc_timeout_header_max": "0s" },
                },
            })
        };
        let first = json!([{ "name": "x-envoy-attempt-count", "string_match": { "exact": "1" } }]);
        let mut routes: Vec<_> = inbound
            .first_tries
            .iter()
            .map(|(rpc, fault)| {
                with_fault(
                    Some(fault),
                    route(&json!({ "path": rpc, "headers": first })),
                )
            })
            .collect();
        routes.push(route(&json!({ "prefix": "/" })));
        let manager = self.connections(name, false, &routes);
        listener(name, "INBOUND", inbound.listen, &manager)
    }

    fn outbound(&self, outbound: &Outbound) -> Value {
        let mut routes = routes(&outbound.routes, |place| {
            assert_eq!(
                place.destination.host, outbound.host,
                "the peer of this listener"
            );
            outbound.cluster(place.destination.subset.as_deref())
        });
        for route in &mut routes {
            route["decorator"] = json!({ "operation": format!("{}/*", outbound.host) });
        }
        let mut manager = self.connections(&outbound.name, true, &routes);
        if let Some(patch) = &outbound.edge {
            manager["use_remote_address"] = json!(true);
            merge(&mut manager, patch);
        }
        if let Some(filters) = manager["http_filters"].as_array_mut() {
            filters.splice(0..0, outbound.tokens.iter().cloned());
        }
        listener(&outbound.name, "OUTBOUND", outbound.listen, &manager)
    }

    /// An HTTP connection manager.
    fn connections(&self, name: &str, counts_tries: bool, routes: &[Value]) -> Value {
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "stream_idle_timeout": "0s",
            "route_config": { "name": name, "validate_clusters": false, "virtual_hosts": [{
                "name": name,
                "domains": ["*"],
                "include_request_attempt_count": counts_tries,
                "routes": routes,
            }] },
            "http_filters": [fault_filter(), {
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            }],
        });
        if let Some(tracing) = self.tracing {
            manager["tracing"] = tracing.config(self.service);
        }
        manager
    }
}

impl Outbound {
    /// The name of the cluster of a subset, or of all replicas.
    fn cluster(&self, subset: Option<&str>) -> String {
        subset.map_or_else(
            || self.name.clone(),
            |subset| format!("{}-{subset}", self.name),
        )
    }

    fn clusters(&self) -> Vec<Value> {
        let http2 = self.host != "gateway";
        let Some(rule) = &self.rule else {
            return vec![cluster(&self.name, &self.endpoints, http2)];
        };
        assert_eq!(rule.host, self.host, "the rule is about the peer");
        let of_version = |wanted: Option<&str>| {
            let chosen = self.endpoints.iter().copied();
            let chosen =
                chosen.filter(|endpoint| wanted.is_none_or(|version| endpoint.version == version));
            chosen.collect::<Vec<_>>()
        };
        let subsets = rule.subsets.iter().map(|subset| {
            let version = subset
                .labels
                .get("version")
                .expect("subsets differ in their version");
            (Some(subset.name.as_str()), of_version(Some(version)))
        });
        std::iter::once((None, of_version(None)))
            .chain(subsets)
            .map(|(subset, endpoints)| {
                let cluster = cluster(&self.cluster(subset), &endpoints, http2);
                with_policy(cluster, &rule.traffic_policy)
            })
            .collect()
    }
}

impl Tracing {
    fn config(self, service: &str) -> Value {
        json!({
            "client_sampling": { "value": 100 },
            "random_sampling": { "value": self.random_percent },
            "overall_sampling": { "value": 100 },
            "provider": { "name": "envoy.tracers.opentelemetry", "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": { "envoy_grpc": { "cluster_name": OTLP }, "timeout": "5s" },
                "service_name": sidecar_of(service),
            } },
        })
    }
}

/// The `service.name` of a proxy's spans: `<app>.<namespace>`.
#[must_use]
pub fn sidecar_of(service: &str) -> String {
    let namespace = if service == INGRESS {
        "istio-ingress"
    } else {
        "shop"
    };
    format!("{service}.{namespace}")
}

fn listener(name: &str, direction: &str, listen: SocketAddr, manager: &Value) -> Value {
    json!({
        "name": name,
        "traffic_direction": direction,
        "address": address(listen),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    })
}

/// As messages of protobuf are merged: fields one by one, lists one after the other.
pub(super) fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) => into.extend(patch.iter().cloned()),
        (into, patch) => into.clone_from(patch),
    }
}
