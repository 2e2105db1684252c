//! What routes promise about time and repetition, beside what the code does.
//!
//! Istio takes all of it without a word: without a timeout there is none, without `retries` there are two, a limit for one
//! try that is longer than the whole is ignored, and a blank in `retryOn` makes the whole object invalid.

use std::time::Duration;

use crate::{
    CallGraph, Cluster, Finding, HttpRoute, Object, StringMatch, VirtualService, namespace_of,
};

/// After these the request never reached the peer's handler, whatever it would have done.
const UNSEEN: [&str; 2] = ["connect-failure", "refused-stream"];
/// What Istio knows besides numbers of statuses.
const CONDITIONS: [&str; 16] = [
    "5xx",
    "cancelled",
    "connect-failure",
    "deadline-exceeded",
    "envoy-ratelimited",
    "gateway-error",
    "http3-post-connect-failure",
    "internal",
    "refused-stream",
    "reset",
    "reset-before-request",
    "resource-exhausted",
    "retriable-4xx",
    "retriable-headers",
    "retriable-status-codes",
    "unavailable",
];
/// Envoy waits at most (2^n - 1) times this before the nth repetition.
const BACKOFF: Duration = Duration::from_millis(25);

/// Every promise of a namespace's routes that cannot be kept, or that the code does not expect.
#[must_use]
pub fn routes(cluster: &Cluster<'_>, namespace: &str, calls: &CallGraph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut services = Vec::new();
    let objects = cluster.manifests().of("VirtualService");
    for object in objects.filter(|object| namespace_of(object) == namespace) {
        if let Ok(service) = VirtualService::read(object) {
            for (index, route) in service.http.iter().enumerate() {
                let check = Check {
                    object,
                    index,
                    route,
                    calls,
                };
                check.explicit(&mut findings);
                check.tries(&mut findings);
                check.paths(&service, &mut findings);
                if route.matches.is_empty() && index + 1 < service.http.len() {
                    check.problem(
                        "match",
                        "takes everything, so that the routes behind it are never used",
                        &mut findings,
                    );
                }
            }
            services.push((object, service));
        }
    }
    if !services.is_empty() {
        called(namespace, &services, calls, &mut findings);
    }
    findings
}

struct Check<'a> {
    object: &'a Object,
    index: usize,
    route: &'a HttpRoute,
    calls: &'a CallGraph,
}

impl Check<'_> {
    fn problem(&self, field: &str, problem: impl Into<String>, findings: &mut Vec<Finding>) {
        let field = format!("spec.http[{}].{field}", self.index);
        findings.push(Finding::of(self.object, field, problem));
    }

    fn explicit(&self, findings: &mut Vec<Finding>) {
        if self.route.timeout.is_none_or(|timeout| timeout.is_zero()) {
            self.problem(
                "timeout",
                "is missing: the default is none at all",
                findings,
            );
        }
        let Some(retries) = &self.route.retries else {
            return self.problem(
                "retries",
                "is missing: the default retries twice, also what was done already",
                findings,
            );
        };
        let more = retries.per_try_timeout.is_some() || retries.retry_on.is_some();
        if retries.attempts == 0 && more {
            self.problem(
                "retries",
                "attempts: 0 must stand alone, else Istio refuses it",
                findings,
            );
        }
        if retries.attempts > 0 && retries.retry_on.is_none() {
            self.problem(
                "retries.retryOn",
                "is missing: the default repeats what was cancelled or unavailable",
                findings,
            );
        }
        for condition in retries.retry_on.iter().flat_map(|list| list.split(',')) {
            let status = condition
                .parse::<u16>()
                .is_ok_and(|status| (100..600).contains(&status));
            if !status && !CONDITIONS.contains(&condition) {
                self.problem(
                    "retries.retryOn",
                    format!("{condition:?} is no condition that Istio knows"),
                    findings,
                );
            }
        }
        let weights: u32 = self.route.route.iter().filter_map(|to| to.weight).sum();
        if self.route.route.len() > 1 && weights != 100 {
            self.problem(
                "route",
                format!("the weights add up to {weights}, not to 100"),
                findings,
            );
        }
    }

    /// Every try must have its time, and a slow one must be repeated if the route says so.
    fn tries(&self, findings: &mut Vec<Finding>) {
        let (Some(timeout), Some(per_try)) = (self.route.timeout, self.route.per_try_timeout())
        else {
            return;
        };
        let attempts = self.route.attempts();
        if per_try >= timeout {
            self.problem(
                "retries.perTryTimeout",
                "is not shorter than the timeout, so that Envoy ignores it",
                findings,
            );
        }
        let pauses: Duration = (1..=attempts)
            .map(|n| BACKOFF * ((1 << n.min(10)) - 1))
            .sum();
        if per_try * (attempts + 1) + pauses > timeout {
            self.problem(
                "timeout",
                format!(
                    "{timeout:?} are less than {} tries of {per_try:?} and their pauses take",
                    attempts + 1
                ),
                findings,
            );
        }
        let on: Vec<_> = self.route.retry_on().split(',').collect();
        let reset = ["reset", "gateway-error", "5xx"]
            .iter()
            .any(|name| on.contains(name));
        if attempts > 0 && !(reset && on.contains(&"deadline-exceeded")) {
            self.problem(
                "retries.retryOn",
                "needs both reset and deadline-exceeded: a slow try ends with either",
                findings,
            );
        }
    }

    /// Paths are RPCs of the service, and only what may be repeated is repeated after it may have been done.
    fn paths(&self, service: &VirtualService, findings: &mut Vec<Finding>) {
        let broad = self.route.attempts() > 0
            && self
                .route
                .retry_on()
                .split(',')
                .any(|on| !UNSEEN.contains(&on));
        let mut paths = 0;
        for uri in self.route.uris() {
            paths += 1;
            let StringMatch::Exact(path) = uri else {
                self.problem(
                    "match.uri",
                    "must be exact: a prefix takes RPCs that are still to come",
                    findings,
                );
                continue;
            };
            match self.calls.rpcs.get(path) {
                None => self.problem("match.uri", format!("no proto has {path}"), findings),
                Some(false) if broad => {
                    self.problem(
                        "retries.retryOn",
                        format!("{path} is not idempotent: only {UNSEEN:?} may be repeated"),
                        findings,
                    );
                }
                Some(_) => {}
            }
            let mut edges = self.calls.edges.iter();
            let callee = edges
                .find(|edge| edge.rpc == *path)
                .map(|edge| edge.callee.as_str());
            if callee.is_some_and(|callee| {
                !service
                    .hosts
                    .iter()
                    .any(|host| host.split('.').next() == Some(callee))
            }) {
                self.problem(
                    "match.uri",
                    format!(
                        "{path} is of {}, not of {:?}",
                        callee.unwrap_or_default(),
                        service.hosts
                    ),
                    findings,
                );
            }
        }
        if broad && paths < self.route.matches.len().max(1) {
            self.problem(
                "retries.retryOn",
                format!("only {UNSEEN:?} where no RPC is named"),
                findings,
            );
        }
    }
}

/// Each call finds a route of its own that lets the caller give up first.
fn called(
    namespace: &str,
    services: &[(&Object, VirtualService)],
    calls: &CallGraph,
    findings: &mut Vec<Finding>,
) {
    let route_of = |rpc: &str| {
        services.iter().find_map(|(object, service)| {
            let exact = |uri: &StringMatch| *uri == StringMatch::Exact(rpc.to_owned());
            let mut routes = service.http.iter().enumerate();
            let found = routes.rfind(|(_, route)| route.uris().any(exact));
            found.map(|(index, route)| (*object, index, route))
        })
    };
    for edge in &calls.edges {
        let Some((object, index, route)) = route_of(&edge.rpc) else {
            findings.push(Finding {
                object: format!("Namespace {namespace}"),
                field: String::new(),
                problem: format!("no VirtualService has a route of its own for {}", edge.rpc),
            });
            continue;
        };
        let mut problem = |field: &str, problem: String| {
            findings.push(Finding::of(
                object,
                format!("spec.http[{index}].{field}"),
                problem,
            ));
        };
        let timeout = route.timeout.unwrap_or_default();
        if edge.cap >= timeout {
            problem(
                "timeout",
                format!(
                    "{timeout:?} are not more than the {:?} that {} waits for {}",
                    edge.cap, edge.caller, edge.rpc
                ),
            );
        }
        if route
            .per_try_timeout()
            .is_some_and(|per_try| per_try >= edge.cap)
        {
            problem(
                "retries.perTryTimeout",
                format!(
                    "is not shorter than the {:?} that {} waits",
                    edge.cap, edge.caller
                ),
            );
        }
        for handler in &edge.handlers {
            let parent = route_of(handler).and_then(|(_, _, parent)| parent.timeout);
            if let Some(parent) = parent.filter(|parent| timeout >= *parent) {
                problem(
                    "timeout",
                    format!(
                        "{timeout:?} are not shorter than the {parent:?} of {handler}, which calls it"
                    ),
                );
            }
        }
    }
}
