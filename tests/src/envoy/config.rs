//! Static configuration for one Envoy: what istiod would send to the sidecar of a pod.
//!
//! ```text
//!   inbound :port ─► the process            no retry, no timeout; its span is a SERVER's
//!   outbound :port ─► endpoints of a peer   routes, least request, previous hosts; its span is a CLIENT's
//! ```

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::route::{Route, seconds};

/// Istio takes Envoy's limits away.
const UNLIMITED: u32 = u32::MAX;
/// The cluster of the OTLP receiver.
const OTLP: &str = "otlp";

/// One sidecar: whom it serves, and whom it calls for it.
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
}

/// The way to a peer.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The peer's name.
    pub peer: &'static str,
    /// Where the sidecar listens for calls to it.
    pub listen: SocketAddr,
    /// The peer's replicas.
    pub endpoints: Vec<Endpoint>,
    /// The first that fits is taken.
    pub routes: Vec<Route>,
    /// Which replicas are left out for a while.
    pub outliers: Option<Outliers>,
}

/// One replica of a peer.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Where calls go.
    pub to: SocketAddr,
    /// Whose `/readyz` decides whether they do. On Kubernetes that is the kubelet's task.
    pub admin: Option<SocketAddr>,
}

/// `outlierDetection` of a DestinationRule.
#[derive(Debug, Clone, Copy)]
pub struct Outliers {
    /// So many 502, 503 or 504 in a row.
    pub gateway_errors: u32,
    /// How often it is looked at.
    pub interval: Duration,
    /// For how long a replica is left out at first.
    pub ejection: Duration,
    /// How many percent of the replicas at most.
    pub percent: u32,
}

/// Spans by OTLP.
#[derive(Debug, Clone, Copy)]
pub struct Tracing {
    /// The receiver.
    pub to: SocketAddr,
    /// How many percent of what nobody has decided on are sampled.
    pub random_percent: u32,
}

impl Endpoint {
    /// One that always takes calls.
    #[must_use]
    pub fn always(to: SocketAddr) -> Self {
        Self { to, admin: None }
    }
}

impl Sidecar {
    /// All of it, with the admin listener at that address.
    pub(crate) fn config(&self, admin: SocketAddr) -> Value {
        let inbound = self.inbound.iter().map(|inbound| self.inbound(inbound));
        let outbound = self.outbound.iter().map(|outbound| self.outbound(outbound));
        let (listeners, mut clusters): (Vec<_>, Vec<_>) = inbound.chain(outbound).unzip();
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

    fn inbound(&self, inbound: &Inbound) -> (Value, Value) {
        let name = format!("inbound_{}", self.service);
        let route = json!({
            "match": { "prefix": "/" },
            "decorator": { "operation": format!("{}/*", self.service) },
            "route": {
                "cluster": name,
                "timeout": "0s",
                "max_stream_duration": { "max_stream_duration": "0s", "grpc_timeout_header_max": "0s" },
            },
        });
        let manager = self.connections(&name, false, &[route]);
        (
            listener(&name, "INBOUND", inbound.listen, &manager),
            cluster(&name, &[Endpoint::always(inbound.to)], inbound.http2),
        )
    }

    fn outbound(&self, outbound: &Outbound) -> (Value, Value) {
        let name = outbound.peer;
        let routes: Vec<_> = outbound
            .routes
            .iter()
            .map(|route| route.config(name))
            .collect();
        let manager = self.connections(name, true, &routes);
        let mut cluster = cluster(name, &outbound.endpoints, true);
        if let Some(outliers) = outbound.outliers {
            cluster["outlier_detection"] = outliers.config();
        }
        (
            listener(name, "OUTBOUND", outbound.listen, &manager),
            cluster,
        )
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
            "http_filters": [{
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

/// The `service.name` of a sidecar's spans: `<app>.<namespace>`.
#[must_use]
pub fn sidecar_of(service: &str) -> String {
    format!("{service}.shop")
}

impl Outliers {
    fn config(self) -> Value {
        json!({
            "consecutive_gateway_failure": self.gateway_errors,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "interval": seconds(self.interval),
            "base_ejection_time": seconds(self.ejection),
            "max_ejection_percent": self.percent,
        })
    }
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

fn cluster(name: &str, endpoints: &[Endpoint], http2: bool) -> Value {
    let protocol = if http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        "circuit_breakers": { "thresholds": [{
            "max_connections": UNLIMITED,
            "max_pending_requests": UNLIMITED,
            "max_requests": UNLIMITED,
            "max_retries": UNLIMITED,
        }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { protocol: {} },
        } },
        "load_assignment": { "cluster_name": name, "endpoints": [{
            "lb_endpoints": endpoints.iter().map(Endpoint::config).collect::<Vec<_>>(),
        }] },
    });
    if endpoints.iter().any(|endpoint| endpoint.admin.is_some()) {
        cluster["health_checks"] = json!([{
            "timeout": "2s",
            "interval": "0.1s",
            "no_traffic_interval": "0.1s",
            // A 503 counts at once all the same.
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "http_health_check": { "path": "/readyz" },
        }]);
        // Taken up at once, like a membership from istiod; else each change may wait a second for the next.
        cluster["common_lb_config"]["update_merge_window"] = json!("0s");
    }
    cluster
}

impl Endpoint {
    fn config(&self) -> Value {
        let mut endpoint = json!({ "address": address(self.to) });
        if let Some(admin) = self.admin {
            endpoint["health_check_config"] = json!({ "address": address(admin) });
        }
        json!({ "endpoint": endpoint })
    }
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
