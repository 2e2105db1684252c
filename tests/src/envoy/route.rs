//! The routes of a VirtualService, translated as istiod does. What is not translated is refused, so that no test passes
//! over it in silence.

use std::time::Duration;

use mesh_manifests::{
    Abort, Fault, HttpMatch, HttpRoute, Percentage, Retries, StringMatch, Weighted,
};
use serde_json::{Value, json};
use tonic::Code;

/// The filter that makes things go wrong on purpose.
pub(super) const FAULT: &str = "envoy.filters.http.fault";
const FAULT_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";

/// The only route of a service without a VirtualService.
pub(super) fn istio_default(host: &str) -> HttpRoute {
    let route = json!({ "route": [{ "destination": { "host": host } }] });
    serde_json::from_value(route).expect("a route needs no more")
}

/// One route of Envoy for each match; `cluster` names the cluster of a subset.
pub(super) fn routes(http: &[HttpRoute], cluster: impl Fn(&Weighted) -> String) -> Vec<Value> {
    let of_one = |route: &HttpRoute| {
        let action = action(route, &cluster);
        let mut matches: Vec<_> = route.matches.iter().map(matched).collect();
        if matches.is_empty() {
            matches.push(json!({ "prefix": "/" }));
        }
        matches
            .into_iter()
            .map(|matched| {
                with_fault(
                    route.fault.as_ref(),
                    json!({ "match": matched, "route": action }),
                )
            })
            .collect::<Vec<_>>()
    };
    http.iter().flat_map(of_one).collect()
}

/// A route, or a copy of one, that has a fault.
pub(super) fn with_fault(fault: Option<&Fault>, mut route: Value) -> Value {
    if let Some(fault) = fault {
        route["typed_per_filter_config"] = json!({ FAULT: fault_config(fault) });
    }
    route
}

fn matched(matched: &HttpMatch) -> Value {
    let HttpMatch {
        name: _,
        uri,
        method,
        headers,
        source_labels,
        gateways,
    } = matched;
    assert!(
        source_labels.is_empty() && gateways.is_empty(),
        "not translated: {matched:?}"
    );
    let mut config = match uri {
        None => json!({ "prefix": "/" }),
        Some(StringMatch::Exact(path)) => json!({ "path": path }),
        Some(StringMatch::Prefix(path)) => json!({ "prefix": path }),
        Some(StringMatch::Regex(path)) => json!({ "safe_regex": { "regex": path } }),
    };
    let named = headers.iter().map(|(name, value)| (name.as_str(), value));
    let method = method.iter().map(|value| (":method", value));
    config["headers"] = named
        .chain(method)
        .map(|(name, value)| json!({ "name": name, "string_match": string_match(value) }))
        .collect();
    config
}

fn string_match(value: &StringMatch) -> Value {
    match value {
        StringMatch::Exact(text) => json!({ "exact": text }),
        StringMatch::Prefix(text) => json!({ "prefix": text }),
        StringMatch::Regex(text) => json!({ "safe_regex": { "regex": text } }),
    }
}

fn action(route: &HttpRoute, cluster: &impl Fn(&Weighted) -> String) -> Value {
    let HttpRoute {
        name: _,
        matches: _,
        route: places,
        timeout,
        retries,
        fault: _,
        headers,
        direct_response,
    } = route;
    assert!(
        headers.is_none() && direct_response.is_none(),
        "not translated: {route:?}"
    );
    // 0 is "no limit" of the route, and "take the caller's" of `grpc-timeout`.
    let timeout = seconds(timeout.unwrap_or_default());
    let mut action = json!({ "timeout": timeout, "max_grpc_timeout": timeout });
    match &places[..] {
        [place] => action["cluster"] = json!(cluster(place)),
        places => {
            let shares = places.iter().filter(|place| place.weight != Some(0));
            let shares =
                shares.map(|place| json!({ "name": cluster(place), "weight": place.weight }));
            action["weighted_clusters"] = json!({ "clusters": shares.collect::<Vec<_>>() });
        }
    }
    if route.attempts() > 0 {
        action["retry_policy"] = retry_policy(route, retries.as_ref());
    }
    action
}

fn retry_policy(route: &HttpRoute, retries: Option<&Retries>) -> Value {
    let mut policy = json!({
        "retry_on": route.retry_on(),
        "num_retries": route.attempts(),
        "host_selection_retry_max_attempts": "5",
    });
    if retries.and_then(|retries| retries.retry_ignore_previous_hosts) != Some(false) {
        policy["retry_host_predicate"] = json!([{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": { "@type":
                "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" },
        }]);
    }
    if let Some(per_try) = route.per_try_timeout() {
        policy["per_try_timeout"] = seconds(per_try);
    }
    if let Some(backoff) = retries.and_then(|retries| retries.backoff) {
        policy["retry_back_off"] = json!({ "base_interval": seconds(backoff) });
    }
    policy
}

fn fault_config(fault: &Fault) -> Value {
    let mut config = json!({ "@type": FAULT_TYPE });
    if let Some(delay) = &fault.delay {
        config["delay"] = json!({
            "fixed_delay": seconds(delay.fixed_delay.expect("a delay says how long")),
            "percentage": share(delay.percentage),
        });
    }
    if let Some(Abort {
        http_status,
        grpc_status,
        percentage,
    }) = &fault.abort
    {
        config["abort"] = json!({ "percentage": share(*percentage) });
        match (http_status, grpc_status) {
            (Some(status), None) => config["abort"]["http_status"] = json!(status),
            (None, Some(name)) => config["abort"]["grpc_status"] = json!(code(name) as i32),
            other => panic!("an abort has one status: {other:?}"),
        }
    }
    config
}

fn share(percentage: Option<Percentage>) -> Value {
    let percent = percentage.map_or(100.0, |share| share.value);
    json!({ "numerator": (percent * 10_000.0).round(), "denominator": "MILLION" })
}

/// A gRPC status by its name.
fn code(name: &str) -> Code {
    let named = (0..=16).map(Code::from_i32).find(|code| {
        let camel = format!("{code:?}");
        camel.eq_ignore_ascii_case(&name.replace('_', ""))
    });
    named.unwrap_or_else(|| panic!("{name} is no gRPC status"))
}

/// The filter itself, without which a route's fault would do nothing.
pub(super) fn fault_filter() -> Value {
    json!({ "name": FAULT, "typed_config": { "@type": FAULT_TYPE } })
}

/// A duration as Envoy reads it.
pub(super) fn seconds(duration: Duration) -> Value {
    json!(format!("{:.3}s", duration.as_secs_f64()))
}
