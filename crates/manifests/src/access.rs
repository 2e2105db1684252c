//! Policies allow exactly the calls that the code makes: one too few is an outage, one too many a hole that nobody sees.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{CallGraph, Cluster, Finding, Object, Pod, namespace_of};

/// Caller, callee and RPC.
type Call = (String, String, String);

/// Where AuthorizationPolicies and NetworkPolicies of a namespace differ from the calls.
#[must_use]
pub fn access(cluster: &Cluster<'_>, namespace: &str, calls: &CallGraph) -> Vec<Finding> {
    let mut findings = Vec::new();
    authorization(cluster, namespace, calls, &mut findings);
    network(cluster, namespace, calls, &mut findings);
    findings
}

fn authorization(
    cluster: &Cluster<'_>,
    namespace: &str,
    calls: &CallGraph,
    findings: &mut Vec<Finding>,
) {
    let policies = cluster.manifests().of("AuthorizationPolicy");
    let policies: Vec<_> = policies
        .filter(|policy| namespace_of(policy) == namespace)
        .collect();
    if policies.is_empty() {
        return;
    }
    let nothing = |policy: &&&Object| {
        policy
            .at("/spec")
            .as_object()
            .is_some_and(serde_json::Map::is_empty)
    };
    if !policies.iter().any(|policy| nothing(&policy)) {
        findings.push(whole(
            namespace,
            "no AuthorizationPolicy denies by default (spec: {})".to_owned(),
        ));
    }
    let wanted: BTreeSet<Call> = calls
        .edges
        .iter()
        .map(|edge| (edge.caller.clone(), edge.callee.clone(), edge.rpc.clone()))
        .collect();
    let mut allowed = BTreeSet::new();
    for policy in policies {
        let action = policy.at("/spec/action").as_str().unwrap_or("ALLOW");
        if action != "ALLOW" {
            let problem = format!("{action} is not used: what is not allowed is denied");
            findings.push(Finding::of(policy, "spec.action", problem));
        }
        let labels = policy.at("/spec/selector/matchLabels");
        let callees = cluster.selected(namespace, labels).filter_map(Pod::app);
        for callee in callees.collect::<BTreeSet<_>>() {
            let called = calls.callees().any(|name| name == callee);
            for (index, rule) in policy.list("/spec/rules").enumerate() {
                if called {
                    let field = format!("spec.rules[{index}]");
                    of_rule(
                        policy,
                        &field,
                        rule,
                        callee,
                        &wanted,
                        &mut allowed,
                        findings,
                    );
                }
            }
        }
    }
    for (caller, callee, rpc) in wanted.difference(&allowed) {
        findings.push(whole(
            namespace,
            format!("no AuthorizationPolicy of {callee} lets {caller} call {rpc}"),
        ));
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a rule, whose it is, and both sides of the comparison"
)]
fn of_rule(
    policy: &Object,
    field: &str,
    rule: &Value,
    callee: &str,
    wanted: &BTreeSet<Call>,
    allowed: &mut BTreeSet<Call>,
    findings: &mut Vec<Finding>,
) {
    let mut problem = |problem: String| findings.push(Finding::of(policy, field, problem));
    let sources: Vec<_> = items(&rule["from"]).map(|from| &from["source"]).collect();
    let operations: Vec<_> = items(&rule["to"]).map(|to| &to["operation"]).collect();
    if sources.is_empty() || operations.is_empty() {
        return problem("must say who may do what (from, to)".to_owned());
    }
    let only = |part: &Value, known: &[&str]| {
        part.as_object()
            .into_iter()
            .flatten()
            .all(|(name, _)| known.contains(&name.as_str()))
    };
    if !sources.iter().all(|source| only(source, &["principals"])) {
        problem("from may only name principals".to_owned());
    }
    if !operations.iter().all(|operation| {
        only(operation, &["methods", "paths"]) && operation["methods"] == Value::from(vec!["POST"])
    }) {
        problem("to must say POST and paths, and nothing else: gRPC is nothing else".to_owned());
    }
    for principal in sources
        .iter()
        .flat_map(|source| items(&source["principals"]))
        .filter_map(Value::as_str)
    {
        let caller = principal.rsplit('/').next().unwrap_or_default();
        for path in operations
            .iter()
            .flat_map(|operation| items(&operation["paths"]))
            .filter_map(Value::as_str)
        {
            let call = (caller.to_owned(), callee.to_owned(), path.to_owned());
            if !wanted.contains(&call) {
                problem(format!("{caller} does not call {path} of {callee}"));
            }
            allowed.insert(call);
        }
    }
}

/// Who may connect to whom, by the labels of pods: as in the calls, in both directions.
fn network(cluster: &Cluster<'_>, namespace: &str, calls: &CallGraph, findings: &mut Vec<Finding>) {
    let pairs: BTreeSet<_> = calls
        .edges
        .iter()
        .map(|edge| (edge.caller.as_str(), edge.callee.as_str()))
        .collect();
    let processes: BTreeSet<_> = pairs
        .iter()
        .flat_map(|(caller, callee)| [*caller, *callee])
        .collect();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let mut open = BTreeSet::new();
        for policy in cluster
            .manifests()
            .of("NetworkPolicy")
            .filter(|policy| namespace_of(policy) == namespace)
        {
            let own = policy.at("/spec/podSelector/matchLabels/app").as_str();
            for rule in policy.list(&format!("/spec/{direction}")) {
                for peer in
                    items(&rule[peers]).filter(|peer| peer.get("namespaceSelector").is_none())
                {
                    let other = peer["podSelector"]["matchLabels"]["app"].as_str();
                    let Some((own, other)) = own.zip(other) else {
                        continue;
                    };
                    let pair = if direction == "ingress" {
                        (other, own)
                    } else {
                        (own, other)
                    };
                    let ours = processes.contains(own) && processes.contains(other);
                    if ours && !pairs.contains(&pair) {
                        let problem = format!("{} does not call {}", pair.0, pair.1);
                        findings.push(Finding::of(policy, format!("spec.{direction}"), problem));
                    }
                    open.insert(pair);
                }
            }
        }
        for (caller, callee) in pairs.difference(&open) {
            findings.push(whole(
                namespace,
                format!("no NetworkPolicy lets {caller} connect to {callee} ({direction})"),
            ));
        }
    }
}

fn whole(namespace: &str, problem: String) -> Finding {
    Finding {
        object: format!("Namespace {namespace}"),
        field: String::new(),
        problem,
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
