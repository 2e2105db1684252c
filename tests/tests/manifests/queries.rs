//! Queries of Prometheus, wherever they stand: rules, dashboards, the adapter that autoscalers ask, KEDA's triggers.

use std::collections::{BTreeMap, BTreeSet};

use mesh_manifests::{Finding, Manifests, Object};
use mesh_messaging::topology;
use mesh_tests::{
    Metrics,
    manifests::{entries, promtool},
    promql::{Query, Selector},
};
use regex::Regex;
use serde_json::{Value, json};

/// As promtool is asked: without its opinion on names of records.
const RULES: &[&str] = &["check", "rules", "--lint=none"];
/// What Prometheus itself has of every target.
const BUILT_IN: &str = "up";
/// Labels that the scrape of any target has.
const OF_TARGETS: [&str; 2] = ["instance", "job"];

/// One query and where it stands.
struct Asked<'a> {
    object: &'a Object,
    field: String,
    query: String,
    /// The series that it makes, of a recording rule.
    makes: Option<String>,
}

/// The series there are, with their labels.
pub(crate) struct Shown {
    series: Vec<Metrics>,
}

impl Shown {
    pub(crate) fn by(metrics: Vec<(&'static str, Metrics)>) -> Self {
        Self {
            series: metrics.into_iter().map(|(_, metrics)| metrics).collect(),
        }
    }

    /// Series and labels that are asked for and that nobody shows.
    pub(crate) fn unknown_to(&self, set: &Manifests) -> Vec<Finding> {
        let asked = asked(set);
        let targets = labels_of_targets(set);
        let mut made = BTreeMap::new();
        for rule in &asked {
            if let Some(name) = &rule.makes {
                made.insert(name.clone(), Query::read(&rule.query).grouping);
            }
        }
        let labels = |selector: &Selector| {
            if let Some(labels) = made.get(&selector.metric) {
                return Some(labels.clone());
            }
            let mut labels = targets.clone();
            let shown: Vec<_> = self
                .series
                .iter()
                .filter_map(|metrics| metrics.series(&selector.metric))
                .collect();
            let there = !shown.is_empty() || selector.metric == BUILT_IN;
            labels.extend(shown.into_iter().flatten().map(str::to_owned));
            there.then_some(labels)
        };
        let mut findings = Vec::new();
        for Asked {
            object,
            field,
            query,
            ..
        } in &asked
        {
            let query = Query::read(query);
            let mut problem = |problem: String| findings.push(Finding::of(object, field, problem));
            let mut all = BTreeSet::new();
            for selector in &query.selectors {
                let Some(labels) = labels(selector) else {
                    problem(format!("nobody shows the metric {}", selector.metric));
                    continue;
                };
                for (label, _, _) in selector
                    .matchers
                    .iter()
                    .filter(|(label, _, _)| !labels.contains(label))
                {
                    problem(format!("{} has no label {label}", selector.metric));
                }
                all.extend(labels);
            }
            for label in query
                .grouping
                .iter()
                .filter(|label| !query.selectors.is_empty() && !all.contains(*label))
            {
                problem(format!("no series here has the label {label}"));
            }
        }
        findings.extend(metrics_of_autoscalers(set));
        findings
    }
}

/// What the adapter calls a series must be what an autoscaler asks for.
fn metrics_of_autoscalers(set: &Manifests) -> Vec<Finding> {
    let rules = adapter_rules(set);
    let names: BTreeSet<_> = rules.iter().filter_map(|(_, rule)| adapted(rule)).collect();
    let mut findings: Vec<_> = rules
        .iter()
        .filter(|(_, rule)| adapted(rule).is_none())
        .map(|(object, rule)| {
            Finding::of(
                object,
                "name.matches",
                format!("does not match its own series: {}", rule["seriesQuery"]),
            )
        })
        .collect();
    for scaler in set.of("HorizontalPodAutoscaler") {
        for (index, metric) in scaler.list("/spec/metrics").enumerate() {
            let name = metric["pods"]["metric"]["name"].as_str();
            if let Some(name) = name.filter(|name| !names.contains(*name)) {
                let field = format!("spec.metrics[{index}].pods.metric.name");
                findings.push(Finding::of(
                    scaler,
                    field,
                    format!("no rule of the adapter makes {name}: {names:?}"),
                ));
            }
        }
    }
    findings
}

/// The name that a rule gives to its series.
fn adapted(rule: &Value) -> Option<String> {
    let series = rule["seriesQuery"].as_str()?.split('{').next()?;
    let matches = Regex::new(rule["name"]["matches"].as_str()?).ok()?;
    matches.is_match(series).then(|| {
        matches
            .replace(series, rule["name"]["as"].as_str().unwrap_or("$0"))
            .into_owned()
    })
}

fn adapter_rules(set: &Manifests) -> Vec<(&Object, Value)> {
    let mut rules = Vec::new();
    for object in set.of("ConfigMap") {
        for (_, document) in entries(object) {
            let found = document["rules"].as_array().into_iter().flatten();
            rules.extend(
                found
                    .filter(|rule| rule.get("seriesQuery").is_some())
                    .map(|rule| (object, rule.clone())),
            );
        }
    }
    rules
}

/// Every query of a set.
fn asked(set: &Manifests) -> Vec<Asked<'_>> {
    let mut asked = Vec::new();
    for object in set.of("ConfigMap") {
        for (key, document) in entries(object) {
            of_rules(object, &key, &document, &mut asked);
            of_dashboard(object, &key, &document, &mut asked);
        }
    }
    for (object, rule) in adapter_rules(set) {
        let series = rule["seriesQuery"].as_str().unwrap_or_default();
        asked.push(ask(object, format!("seriesQuery {series}"), series));
        let query = rule["metricsQuery"].as_str().unwrap_or_default();
        let query = query
            .replace("<<.Series>>", series.split('{').next().unwrap_or_default())
            .replace("<<.LabelMatchers>>", "namespace=\"shop\",pod=~\".*\"")
            .replace("<<.GroupBy>>", "pod");
        asked.push(ask(object, format!("metricsQuery of {series}"), &query));
    }
    for object in set.of("ScaledObject") {
        for (index, trigger) in object.list("/spec/triggers").enumerate() {
            if let Some(query) = trigger["metadata"]["query"].as_str() {
                let field = format!("spec.triggers[{index}].metadata.query");
                asked.push(ask(object, field, query));
            }
        }
    }
    asked
}

fn ask<'a>(object: &'a Object, field: String, query: &str) -> Asked<'a> {
    Asked {
        object,
        field,
        query: query.to_owned(),
        makes: None,
    }
}

/// Recording rules and alerts.
fn of_rules<'a>(object: &'a Object, key: &str, document: &Value, asked: &mut Vec<Asked<'a>>) {
    for rule in items(&document["groups"]).flat_map(|group| items(&group["rules"])) {
        let makes = rule["record"].as_str();
        let name = makes.or(rule["alert"].as_str()).unwrap_or_default();
        let query = rule["expr"].as_str().unwrap_or_default();
        asked.push(Asked {
            makes: makes.map(str::to_owned),
            ..ask(object, format!("{key}: {name}"), query)
        });
    }
}

/// Panels, and the variables one chooses from.
fn of_dashboard<'a>(object: &'a Object, key: &str, document: &Value, asked: &mut Vec<Asked<'a>>) {
    for (title, query) in of_panels(&document["panels"]) {
        asked.push(ask(object, format!("{key}: {title}"), &query));
    }
    for variable in items(&document["templating"]["list"]) {
        let query = &variable["query"];
        let text = query["query"]
            .as_str()
            .or(query.as_str())
            .unwrap_or_default();
        let inner = text
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some((series, label)) = inner.and_then(|inner| inner.rsplit_once(',')) {
            let query = format!("count by ({}) ({series})", label.trim());
            asked.push(ask(object, format!("{key}: {}", variable["name"]), &query));
        }
    }
}

/// Titles and queries of panels, of those inside rows too.
fn of_panels(panels: &Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in items(panels) {
        let title = panel["title"].as_str().unwrap_or_default();
        let targets = items(&panel["targets"]).filter_map(|target| target["expr"].as_str());
        queries.extend(
            targets.map(|query| (title.to_owned(), query.replace("$__rate_interval", "1m"))),
        );
        queries.extend(of_panels(&panel["panels"]));
    }
    queries
}

/// Labels that Prometheus puts on what it scrapes of the shop.
fn labels_of_targets(set: &Manifests) -> BTreeSet<String> {
    let mut labels: BTreeSet<_> = OF_TARGETS.iter().map(ToString::to_string).collect();
    for (_, document) in set.of("ConfigMap").flat_map(entries) {
        let jobs =
            items(&document["scrape_configs"]).flat_map(|job| items(&job["relabel_configs"]));
        let targets = jobs.filter_map(|rule| rule["target_label"].as_str());
        labels.extend(
            targets
                .filter(|label| !label.starts_with("__"))
                .map(str::to_owned),
        );
    }
    labels
}

/// Queries that Prometheus would not take.
pub(crate) fn invalid(set: &Manifests) -> Vec<Finding> {
    let asked = asked(set);
    // Each in a group of its own, by whose name promtool says which one it means.
    let groups = asked.iter().enumerate().map(|(index, asked)| {
        let rule = json!({ "record": "a", "expr": asked.query });
        json!({ "name": index.to_string(), "rules": [rule] })
    });
    let Err(said) = promtool(RULES, &json!({ "groups": groups.collect::<Vec<_>>() })) else {
        return Vec::new();
    };
    let complaint = Regex::new(r#"group "(\d+)".*"#).expect("it is a pattern");
    let findings: Vec<_> = complaint
        .captures_iter(&said)
        .filter_map(|found| {
            let asked = asked.get(found[1].parse::<usize>().ok()?)?;
            Some(Finding::of(asked.object, &asked.field, &found[0]))
        })
        .collect();
    assert!(!findings.is_empty(), "promtool says {said}");
    findings
}

/// Triggers of KEDA that look at another queue than the workers do, or do not see all of it.
pub(crate) fn wrong_queues(set: &Manifests) -> Vec<Finding> {
    let mut findings = Vec::new();
    for object in set.of("ScaledObject") {
        for (index, trigger) in object
            .list("/spec/triggers")
            .enumerate()
            .filter(|(_, trigger)| trigger["type"] == "rabbitmq")
        {
            for (name, wanted, why) in [
                ("queueName", topology::QUEUE, "the code declares no other"),
                ("protocol", "http", "amqp does not count what workers hold"),
                (
                    "excludeUnacknowledged",
                    "false",
                    "what workers hold is work too",
                ),
                ("mode", "QueueLength", "the backlog is what counts"),
            ] {
                let told = &trigger["metadata"][name];
                if *told != wanted {
                    let field = format!("spec.triggers[{index}].metadata.{name}");
                    findings.push(Finding::of(
                        object,
                        field,
                        format!("{told} must be {wanted:?}: {why}"),
                    ));
                }
            }
        }
    }
    findings
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
