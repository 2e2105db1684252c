//! The tables of the README say what there is, and nothing else.

use std::{collections::BTreeSet, fs, path::Path};

use http::Method;
use mesh_context::budget;
use mesh_tests::{Processes, Shop, first_column, metrics_after_some_use, rpc};

const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];

fn documented(heading: &str) -> BTreeSet<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let found = first_column(
        &fs::read_to_string(readme).expect("there is a README"),
        heading,
    );
    assert!(!found.is_empty(), "no table under {heading}");
    found
}

#[track_caller]
fn same(documented: &BTreeSet<String>, real: &BTreeSet<String>) {
    let missing: Vec<_> = real.difference(documented).collect();
    let invented: Vec<_> = documented.difference(real).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not in the README: {missing:?}; only there: {invented:?}"
    );
}

#[test]
fn every_setting_is_in_the_readme_and_the_reverse() {
    let real = mesh_config::VARIABLES
        .iter()
        .map(|variable| variable.name.to_owned())
        .collect();
    same(&documented("## Settings"), &real);
}

#[tokio::test]
async fn every_setting_a_process_shows_is_one_of_the_table() {
    let processes = Processes::only(&PROCESSES).start().await;
    for name in PROCESSES {
        let config = processes
            .admin(name)
            .get("/config")
            .send()
            .await
            .expect_status(200)
            .json();
        let shown = config.as_object().expect("settings by name");
        // Some are reserved for processes and services to come.
        let reserved = |variable: &mesh_config::Variable| variable.meaning.contains("not read yet");
        for variable in mesh_config::VARIABLES
            .iter()
            .filter(|variable| !reserved(variable))
        {
            let read = variable.of.contains(&name);
            assert_eq!(
                shown.contains_key(variable.name),
                read,
                "{name} and {}: {config}",
                variable.name
            );
        }
        assert!(
            shown
                .keys()
                .all(|key| mesh_config::VARIABLES.iter().any(|known| known.name == key)),
            "{config}"
        );
    }
}

#[tokio::test]
async fn every_endpoint_is_in_the_readme_and_the_reverse() {
    let processes = Processes::start().await;
    let api = processes
        .gateway()
        .get("/openapi.json")
        .send()
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        api["openapi"].as_str().map(|version| &version[..4]),
        Some("3.1.")
    );
    let mut real = BTreeSet::from(["GET /openapi.json".to_owned(), "GET /docs".to_owned()]);
    for (path, methods) in api["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys();
        real.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    real.extend(
        mesh_chassis::admin::ROUTES
            .iter()
            .map(|route| format!("{} {}", route.method, route.path)),
    );
    same(&documented("## Endpoints"), &real);

    assert_eq!(processes.gateway().get("/docs/").send().await.status, 200);
    for route in mesh_chassis::admin::ROUTES {
        let method: Method = route.method.parse().expect("a method");
        // No longer than needed, where that matters.
        let path = format!("{}?seconds=1", route.path);
        let answer = processes
            .admin("orders")
            .request(method, &path)
            .body("info")
            .send()
            .await;
        assert!(
            [200, 204].contains(&answer.status),
            "{route:?}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn every_metric_is_in_the_readme_and_the_reverse() {
    let documented = documented("## Metrics");
    let used = metrics_after_some_use().await;
    for (name, metrics) in &used {
        for family in metrics.families() {
            for label in ["namespace", "pod", "instance", "job"] {
                let has = metrics.labels(family).contains(label);
                assert!(!has, "{family} of {name} has the label {label}");
            }
        }
    }
    let families = used.iter().flat_map(|(_, metrics)| metrics.families());
    let real: BTreeSet<_> = families.cloned().collect();
    let (families, exact): (Vec<_>, Vec<_>) =
        documented.iter().partition(|name| name.ends_with('*'));
    let in_family = |name: &str| {
        families
            .iter()
            .any(|family| name.starts_with(family.trim_end_matches('*')))
    };
    let missing: Vec<_> = real
        .iter()
        .filter(|name| !documented.contains(*name) && !in_family(name))
        .collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
    for family in &families {
        let prefix = family.trim_end_matches('*');
        assert!(
            real.iter().any(|name| name.starts_with(prefix)),
            "only in the README: {family}"
        );
    }
    let invented: Vec<_> = exact
        .into_iter()
        .filter(|name| !real.contains(*name))
        .collect();
    assert!(invented.is_empty(), "only in the README: {invented:?}");
}

#[test]
fn what_spans_say_of_their_deadline_is_in_the_readme_and_the_reverse() {
    let names = [
        budget::REMAINING,
        budget::CAP,
        budget::EXCEEDED,
        budget::NOT_STARTED,
    ];
    let real = names.map(str::to_owned).into();
    same(&documented("## Spans"), &real);
}

/// The least there is (design of the metrics): name, labels.
const LEAST: [(&str, &[&str]); 13] = [
    (
        "http_requests_total",
        &["grpc_status", "method", "route", "status"],
    ),
    ("http_request_duration_seconds", &["method", "route"]),
    ("http_requests_in_flight", &[]),
    ("http_requests_shed_total", &[]),
    ("client_requests_total", &["code", "method", "peer"]),
    (
        "client_request_duration_seconds",
        &["code", "method", "peer"],
    ),
    ("deadline_header_malformed_total", &[]),
    ("trace_context_conflict_total", &[]),
    ("spans_dropped_total", &[]),
    ("runtime_worker_threads", &[]),
    ("build_info", &["name", "revision", "version"]),
    ("process_resident_memory_bytes", &[]),
    ("process_cpu_seconds_total", &[]),
];

/// Processes that have worked on one order.
async fn after_an_order() -> Processes {
    let processes = Processes::start().await;
    let shop = Shop::new(processes.gateway());
    let sku = shop.first_sku().await;
    let _placed = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    processes
}

#[tokio::test]
async fn metrics_carry_the_labels_they_should() {
    let processes = after_an_order().await;
    let gateway = processes.metrics("gateway").await;
    for (name, labels) in LEAST {
        let found = gateway.labels(name);
        assert!(found.iter().eq(labels.iter()), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn metrics_without_labels_stand_at_zero_from_the_start() {
    for process in ["payments", "fulfillment"] {
        let processes = Processes::only(&[process]).start().await;
        let metrics = processes.metrics(process).await;
        let families = metrics.families();
        for (name, _) in LEAST.iter().filter(|(_, labels)| labels.is_empty()) {
            assert!(families.contains(*name), "{process} has no {name}");
        }
        for prefix in ["process_", "tokio_"] {
            let found = families.iter().any(|name| name.starts_with(prefix));
            assert!(found, "{process} has no {prefix}* in {families:?}");
        }
    }
}

#[tokio::test]
async fn requests_and_calls_are_counted_by_what_they_were() {
    let processes = after_an_order().await;
    let _nowhere = processes
        .gateway()
        .get("/nowhere")
        .send()
        .await
        .expect_status(404);
    let order = [
        ("method", "POST"),
        ("route", "/v1/orders"),
        ("status", "201"),
        ("grpc_status", ""),
    ];
    let nowhere = [("route", "unmatched"), ("status", "404")];
    let place = [
        ("route", rpc::PLACE_ORDER),
        ("status", "200"),
        ("grpc_status", "OK"),
    ];
    let call = |peer, method| [("peer", peer), ("method", method), ("code", "OK")];
    for (process, name, labels) in [
        ("gateway", "http_requests_total", &order[..]),
        ("gateway", "http_requests_total", &nowhere),
        (
            "gateway",
            "client_requests_total",
            &call("orders", "PlaceOrder"),
        ),
        ("orders", "http_requests_total", &place),
        (
            "orders",
            "client_requests_total",
            &call("payments", "Charge"),
        ),
    ] {
        let metrics = processes.metrics(process).await;
        let count = metrics.sum(name, labels);
        assert!(
            (count - 1.0).abs() < f64::EPSILON,
            "{process} {name} {labels:?}: {count} in {metrics:#?}"
        );
    }
}
