//! Replicas of a service and what a DestinationRule says of them, translated as istiod does.

use std::net::SocketAddr;

use mesh_manifests::{LoadBalancer, OutlierDetection, RetryBudget, TrafficPolicy, Warmup};
use serde_json::{Value, json};

use super::route::seconds;

/// Istio takes Envoy's limits away.
const UNLIMITED: u32 = u32::MAX;

/// One replica of a peer.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Where calls go.
    pub to: SocketAddr,
    /// Whose `/readyz` decides whether they do. On Kubernetes that is the kubelet's task.
    pub admin: Option<SocketAddr>,
    /// The label of its pod.
    pub version: &'static str,
}

impl Endpoint {
    /// One that always takes calls.
    #[must_use]
    pub fn always(to: SocketAddr) -> Self {
        Self {
            to,
            admin: None,
            version: "v1",
        }
    }

    fn config(&self) -> Value {
        let mut endpoint = json!({ "address": address(self.to) });
        if let Some(admin) = self.admin {
            endpoint["health_check_config"] = json!({ "address": address(admin) });
        }
        json!({ "endpoint": endpoint })
    }
}

/// A cluster as Istio makes one of a Service that no DestinationRule is about.
pub(super) fn cluster(name: &str, endpoints: &[Endpoint], http2: bool) -> Value {
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

/// The same with what a DestinationRule says.
pub(super) fn with_policy(mut cluster: Value, policy: &TrafficPolicy) -> Value {
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        retry_budget,
    } = policy;
    if let Some(LoadBalancer { simple, warmup }) = load_balancer {
        assert_eq!(simple, "LEAST_REQUEST", "others are not translated");
        if let Some(warmup) = warmup {
            cluster["least_request_lb_config"] =
                json!({ "slow_start_config": slow_start(*warmup) });
        }
    }
    let limits = &mut cluster["circuit_breakers"]["thresholds"][0];
    if let Some(RetryBudget {
        percent,
        min_retry_concurrency,
    }) = retry_budget
    {
        limits["retry_budget"] = json!({
            "budget_percent": { "value": percent.unwrap_or(20.0) },
            "min_retry_concurrency": min_retry_concurrency.unwrap_or(3),
        });
    }
    let http = connection_pool.and_then(|pool| pool.http);
    if let Some(requests) = http.and_then(|http| http.http2_max_requests) {
        limits["max_requests"] = json!(requests);
    }
    if let Some(waiting) = http.and_then(|http| http.http1_max_pending_requests) {
        limits["max_pending_requests"] = json!(waiting);
    }
    if let Some(idle) = http.and_then(|http| http.idle_timeout) {
        let options = &mut cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        options["common_http_protocol_options"] = json!({ "idle_timeout": seconds(idle) });
    }
    let tcp = connection_pool.and_then(|pool| pool.tcp);
    if let Some(connect) = tcp.and_then(|tcp| tcp.connect_timeout) {
        cluster["connect_timeout"] = seconds(connect);
    }
    if let Some(outliers) = outlier_detection {
        cluster["outlier_detection"] = outlier_config(outliers);
    }
    cluster
}

fn slow_start(warmup: Warmup) -> Value {
    json!({
        "slow_start_window": warmup.duration.map(seconds),
        "aggression": { "default_value": warmup.aggression.unwrap_or(1.0), "runtime_key": "(" },
        "min_weight_percent": { "value": warmup.minimum_percent.unwrap_or(10.0) },
    })
}

fn outlier_config(outliers: &OutlierDetection) -> Value {
    let OutlierDetection {
        consecutive_gateway_errors: gateway,
        consecutive_5xx_errors: any,
        interval,
        base_ejection_time,
        max_ejection_percent,
    } = outliers;
    let enforced = |errors: u32| if errors > 0 { 100 } else { 0 };
    json!({
        "enforcing_success_rate": 0,
        "consecutive_5xx": any,
        "enforcing_consecutive_5xx": any.map(enforced),
        "consecutive_gateway_failure": gateway,
        "enforcing_consecutive_gateway_failure": gateway.map(enforced),
        "interval": interval.map(seconds),
        "base_ejection_time": base_ejection_time.map(seconds),
        "max_ejection_percent": max_ejection_percent,
    })
}

pub(super) fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
