//! What the mesh does with a call on its way to a peer: as data, in the terms of a VirtualService.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rpc;

/// What Istio retries when it is not told.
const DEFAULT_RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// For what only reads, or carries a key: a slow try is repeated.
const RETRY_SLOW: &str = "connect-failure,refused-stream,unavailable,reset,deadline-exceeded";
/// For what is tried once: only what never reached the peer's handler is repeated.
const RETRY_UNSEEN: &str = "connect-failure,refused-stream";

/// One route of a peer.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path it is for; every path when there is none.
    pub path: Option<String>,
    /// For all tries together; none: no limit of its own.
    pub timeout: Option<Duration>,
    /// How often a failed try may be repeated.
    pub retries: u32,
    /// For one try.
    pub per_try: Option<Duration>,
    /// After which failures, as Istio writes it.
    pub retry_on: String,
}

impl Route {
    /// What a service without a VirtualService gets.
    #[must_use]
    pub fn istio_default() -> Self {
        Self {
            path: None,
            timeout: None,
            retries: 2,
            per_try: None,
            retry_on: DEFAULT_RETRY_ON.to_owned(),
        }
    }

    /// One try, and another one when it did not reach the peer.
    #[must_use]
    pub fn once(path: &str, timeout_ms: u64) -> Self {
        Self {
            path: Some(path.to_owned()),
            timeout: Some(Duration::from_millis(timeout_ms)),
            retries: 1,
            per_try: None,
            retry_on: RETRY_UNSEEN.to_owned(),
        }
    }

    /// Two tries, the second one also after one that was too slow.
    #[must_use]
    pub fn twice(path: &str, timeout_ms: u64, per_try_ms: u64) -> Self {
        Self {
            per_try: Some(Duration::from_millis(per_try_ms)),
            retry_on: RETRY_SLOW.to_owned(),
            ..Self::once(path, timeout_ms)
        }
    }

    /// The routes of a peer that leave each caller's own deadline the last word.
    #[must_use]
    pub fn of_the_shop(peer: &str) -> Vec<Self> {
        match peer {
            "orders" => vec![
                Self::once(rpc::PLACE_ORDER, 4_700),
                Self::once(rpc::CANCEL_ORDER, 4_700),
                Self::twice(rpc::GET_ORDER, 1_000, 450),
                Self::twice(rpc::LIST_ORDERS, 1_000, 450),
            ],
            "inventory" => vec![
                Self::twice(rpc::LIST_PRODUCTS, 1_000, 450),
                Self::twice(rpc::GET_PRODUCTS, 1_000, 450),
                Self::twice(rpc::RESERVE, 700, 300),
                Self::twice(rpc::RELEASE, 700, 300),
            ],
            "payments" => vec![
                Self::once(rpc::CHARGE, 3_500),
                Self::once(rpc::REFUND, 3_500),
                Self::twice(rpc::GET_CHARGE, 1_000, 450),
            ],
            other => panic!("{other} has no routes"),
        }
    }

    /// As istiod translates it.
    pub(crate) fn config(&self, cluster: &str) -> Value {
        // 0 is "no limit" of the route, and "take the caller's" of `grpc-timeout`.
        let timeout = seconds(self.timeout.unwrap_or_default());
        let mut retry = json!({
            "retry_on": self.retry_on,
            "num_retries": self.retries,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": { "@type":
                    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" },
            }],
            "host_selection_retry_max_attempts": "5",
        });
        if let Some(per_try) = self.per_try {
            retry["per_try_timeout"] = seconds(per_try);
        }
        json!({
            "match": self.path.as_ref().map_or(json!({ "prefix": "/" }), |path| json!({ "path": path })),
            "decorator": { "operation": format!("{cluster}/*") },
            "route": {
                "cluster": cluster,
                "timeout": timeout,
                "max_grpc_timeout": timeout,
                "retry_policy": retry,
            },
        })
    }
}

/// A duration as Envoy reads it.
pub(crate) fn seconds(duration: Duration) -> Value {
    json!(format!("{:.3}s", duration.as_secs_f64()))
}
