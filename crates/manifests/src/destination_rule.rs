//! Istio's DestinationRule, as far as the mesh uses it: a field that is not here is refused, as in a VirtualService.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::{Error, Object, virtual_service::duration};

/// The `spec` of a DestinationRule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRule {
    /// Whose connections it is about.
    pub host: String,
    /// Namespaces that see it.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// What holds for all of them.
    #[serde(default)]
    pub traffic_policy: TrafficPolicy,
    /// Parts of the service that routes may name.
    #[serde(default)]
    pub subsets: Vec<Subset>,
}

/// Part of a service. A policy of its own is refused here: it would replace whole blocks of the service's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Unique in the rule.
    pub name: String,
    /// Labels of its pods.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What holds for connections; what is absent is as Istio has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPolicy {
    /// How a replica is chosen.
    #[serde(default)]
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of what is under way.
    #[serde(default)]
    pub connection_pool: Option<ConnectionPool>,
    /// When a replica is left out.
    #[serde(default)]
    pub outlier_detection: Option<OutlierDetection>,
    /// How many requests may be repetitions.
    #[serde(default)]
    pub retry_budget: Option<RetryBudget>,
}

/// How a replica is chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// `LEAST_REQUEST`, …
    pub simple: String,
    /// New replicas get less at first.
    #[serde(default)]
    pub warmup: Option<Warmup>,
}

/// New replicas get less at first.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Warmup {
    /// For how long.
    #[serde(deserialize_with = "duration")]
    pub duration: Option<Duration>,
    /// The share they begin with; none: 10.
    #[serde(default)]
    pub minimum_percent: Option<f64>,
    /// How the share grows: 1 (none) evenly.
    #[serde(default)]
    pub aggression: Option<f64>,
}

/// Limits of what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPool {
    /// Of connections.
    #[serde(default)]
    pub tcp: Option<TcpPool>,
    /// Of requests.
    #[serde(default)]
    pub http: Option<HttpPool>,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpPool {
    /// Until a connection stands; none: 10 s.
    #[serde(default, deserialize_with = "duration")]
    pub connect_timeout: Option<Duration>,
}

/// Limits of requests, whatever the version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpPool {
    /// Waiting for a connection.
    #[serde(default)]
    pub http1_max_pending_requests: Option<u32>,
    /// Under way.
    #[serde(default)]
    pub http2_max_requests: Option<u32>,
    /// How long a connection without requests is kept; none: 1 h.
    #[serde(default, deserialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
}

/// When a replica is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutlierDetection {
    /// After so many 502, 503 or 504 in a row; gRPC codes count as their HTTP counterparts. 0: never.
    #[serde(default)]
    pub consecutive_gateway_errors: Option<u32>,
    /// After so many of any 5xx in a row; 0: never.
    #[serde(default, rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// How often it is looked at.
    #[serde(default, deserialize_with = "duration")]
    pub interval: Option<Duration>,
    /// For how long, times how often before.
    #[serde(default, deserialize_with = "duration")]
    pub base_ejection_time: Option<Duration>,
    /// How many of the replicas at most.
    #[serde(default)]
    pub max_ejection_percent: Option<u32>,
}

/// How many requests may be repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryBudget {
    /// Of those under way; none: 20.
    #[serde(default)]
    pub percent: Option<f64>,
    /// So many in any case; none: 3.
    #[serde(default)]
    pub min_retry_concurrency: Option<u32>,
}

impl DestinationRule {
    /// Reads an object of that kind.
    ///
    /// # Errors
    ///
    /// When it has a field that is not known here, or a value that is not one.
    pub fn read(object: &Object) -> Result<Self, Error> {
        object.spec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifests;

    const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payments, namespace: shop}
spec:
  host: payments
  trafficPolicy:
    loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 30s}}
    connectionPool: {tcp: {connectTimeout: 300ms}, http: {http2MaxRequests: 10}}
    outlierDetection: {consecutive5xxErrors: 0, maxEjectionPercent: 50}
    retryBudget: {percent: 20}
  subsets:
    - {name: v1, labels: {version: v1}}
";

    fn read(text: &str) -> Result<DestinationRule, Error> {
        let manifests = Manifests::parse("here", text)?;
        DestinationRule::read(manifests.iter().next().expect("an object"))
    }

    #[test]
    fn what_is_absent_is_left_to_istio() {
        let rule = read(RULE).expect("it is one");
        let policy = rule.traffic_policy;
        let outliers = policy.outlier_detection.expect("it is there");
        assert_eq!(outliers.consecutive_5xx_errors, Some(0));
        assert_eq!(outliers.consecutive_gateway_errors, None);
        let pool = policy.connection_pool.expect("it is there");
        let connect = pool.tcp.and_then(|tcp| tcp.connect_timeout);
        assert_eq!(connect, Some(Duration::from_millis(300)));
        assert_eq!(rule.subsets[0].labels["version"], "v1");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (good, bad, problem) in [
            ("warmup:", "warmUp:", "unknown field `warmUp`"),
            ("consecutive5xxErrors", "consecutiveErrors", "unknown field"),
            ("labels:", "trafficPolicy:", "unknown field `trafficPolicy`"),
            ("300ms", "fast", "duration \"fast\" must be"),
        ] {
            let text = RULE.replacen(good, bad, 1);
            let error = read(&text).expect_err(bad).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
