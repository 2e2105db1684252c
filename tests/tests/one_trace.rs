//! One order crosses four processes and is one trace: the spans that were exported, the answer and every log line agree.

use std::collections::BTreeMap;

use mesh_tests::{Collector, Processes, Shop, SpanRecord, rpc};

/// The spans of the order of one product: service, kind, name, attributes; each with its parent's place in this list.
const EXPECTED: [(&str, &str, &str, Option<usize>); 7] = [
    ("gateway", "Server", "POST /v1/orders", None),
    (
        "gateway",
        "Client",
        "shop.orders.v1.OrdersService/PlaceOrder",
        Some(0),
    ),
    (
        "orders",
        "Server",
        "shop.orders.v1.OrdersService/PlaceOrder",
        Some(1),
    ),
    (
        "orders",
        "Client",
        "shop.inventory.v1.InventoryService/Reserve",
        Some(2),
    ),
    (
        "inventory",
        "Server",
        "shop.inventory.v1.InventoryService/Reserve",
        Some(3),
    ),
    (
        "orders",
        "Client",
        "shop.payments.v1.PaymentsService/Charge",
        Some(2),
    ),
    (
        "payments",
        "Server",
        "shop.payments.v1.PaymentsService/Charge",
        Some(5),
    ),
];
const REQUEST_ID: &str = "386ef654-eb83-4064-9a2c-3d1f6f9f2c11";
const PROCESSES: [&str; 4] = ["gateway", "orders", "inventory", "payments"];

#[tokio::test]
async fn an_order_is_one_trace_across_all_processes() {
    let collector = Collector::start();
    let mut processes = Processes::all()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let order = shop
        .order("one", &sku, 1, "tok_ok")
        .header("x-request-id", REQUEST_ID);
    let placed = order.send().await.expect_status(201);
    let trace_id = placed.header("x-trace-id").to_owned();
    assert_eq!(placed.header("x-request-id"), REQUEST_ID);
    // Spans are flushed on the way out.
    processes.stop().await;

    let spans = collector.trace(&trace_id);
    let found = in_order(&spans);
    for (span, (_, kind, name, parent)) in found.iter().zip(EXPECTED) {
        let parent = parent.map_or("", |parent| &found[parent].span_id);
        assert_eq!(span.parent, parent, "the parent of {span:#?}");
        assert!(span.time.0 <= span.time.1, "{span:#?}");
        assert!(!span.failed, "{span:#?}");
        assert!(!span.resource["service.version"].is_empty(), "{span:#?}");
        if name == "POST /v1/orders" {
            has_http_attributes(span);
        } else {
            has_rpc_attributes(span, name, kind);
        }
    }
    budgets_shrink(&found);
    for name in PROCESSES {
        is_logged(&processes, name, &trace_id, &spans);
    }
}

/// Every hop has less time than the one before it, and a call no more than its cap.
fn budgets_shrink(found: &[&SpanRecord]) {
    let number = |span: &SpanRecord, name: &str| -> Option<u64> {
        let text = span.attributes.get(name)?;
        Some(text.parse().expect("a whole number"))
    };
    let remaining = |span: &SpanRecord| {
        number(span, "mesh.deadline.remaining_ms").unwrap_or_else(|| panic!("none in {span:#?}"))
    };
    let caps: Vec<_> = found
        .iter()
        .filter_map(|span| number(span, "mesh.deadline.cap_ms"))
        .collect();
    assert_eq!(caps, [4600, 650, 3400], "of the calls, in their order");
    for (span, (_, kind, _, parent)) in found.iter().zip(EXPECTED) {
        let own = remaining(span);
        let most = match (parent, kind) {
            (None, _) => 5000,
            // What is told is told in microseconds, and both sides round down.
            (Some(parent), "Server") => remaining(found[parent]),
            (Some(parent), _) => {
                let cap = number(span, "mesh.deadline.cap_ms").expect("a call has one");
                cap.min(remaining(found[parent]) - 20)
            }
        };
        assert!(own <= most, "{own} ms of {most} ms: {span:#?}");
        assert!(own > 0, "{span:#?}");
    }
}

/// The spans in the order of [`EXPECTED`].
fn in_order(spans: &[SpanRecord]) -> Vec<&SpanRecord> {
    let found = EXPECTED.map(|(service, kind, name, _)| {
        let matching = |span: &&SpanRecord| {
            (
                span.service.as_str(),
                span.kind.as_str(),
                span.name.as_str(),
            ) == (service, kind, name)
        };
        let matching: Vec<_> = spans.iter().filter(matching).collect();
        assert_eq!(matching.len(), 1, "{service} {kind} {name} in {spans:#?}");
        matching[0]
    });
    let foreign = spans
        .iter()
        .find(|span| span.kind == "Server" && !found.iter().any(|own| own.span_id == span.span_id));
    assert!(foreign.is_none(), "nobody else was asked: {foreign:#?}");
    found.to_vec()
}

fn has_http_attributes(span: &SpanRecord) {
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/orders"),
        ("http.response.status_code", "201"),
    ] {
        assert_eq!(
            span.attributes.get(name).map(String::as_str),
            Some(value),
            "{name} of {span:#?}"
        );
    }
}

fn has_rpc_attributes(span: &SpanRecord, name: &str, kind: &str) {
    let (service, method) = name.split_once('/').expect("a service and a method");
    let expected = BTreeMap::from([
        ("rpc.system", "grpc"),
        ("rpc.service", service),
        ("rpc.method", method),
        ("rpc.grpc.status_code", "0"),
    ]);
    for (name, value) in expected {
        assert_eq!(
            span.attributes.get(name).map(String::as_str),
            Some(value),
            "{name} of {kind} {span:#?}"
        );
    }
}

/// The process logged the request once, with the ids of its server span.
fn is_logged(processes: &Processes, name: &str, trace_id: &str, spans: &[SpanRecord]) {
    let lines: Vec<_> = processes
        .logs(name)
        .into_iter()
        .filter(|line| line["trace_id"] == trace_id)
        .collect();
    let [line] = &lines[..] else {
        panic!("{name} logged {lines:#?}")
    };
    let span = spans
        .iter()
        .find(|span| span.service == name && span.kind == "Server")
        .expect("its server span");
    assert_eq!(line["span_id"], span.span_id.as_str(), "{name}: {line}");
    assert_eq!(line["request_id"], REQUEST_ID, "{name}: {line}");
    for field in ["route", "status", "duration"] {
        assert!(!line[field].is_null(), "{name}: no {field} in {line}");
    }
}

#[tokio::test]
async fn without_export_log_lines_still_name_one_trace() {
    let processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let placed = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    for name in PROCESSES {
        mesh_tests::eventually(
            std::time::Duration::from_secs(5),
            &format!("{name} logs the order"),
            || async {
                let logs = processes.logs(name);
                let found = logs.iter().any(|line| {
                    line["trace_id"] == placed.header("x-trace-id")
                        && line["request_id"] == placed.header("x-request-id")
                });
                if found { Ok(()) } else { Err(logs) }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_failed_call_marks_its_spans() {
    let collector = Collector::start();
    let mut processes = Processes::only(&["gateway"])
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let order = Shop::new(processes.gateway())
        .order("one", rpc::SKU, 1, "tok_ok")
        .send()
        .await
        .expect_status(503);
    processes.stop().await;
    let spans = collector.trace(order.header("x-trace-id"));
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span.failed), "{spans:#?}");
}

#[tokio::test]
async fn a_dead_collector_costs_nothing_but_spans() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    drop(collector);
    let mut processes = Processes::all()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let _placed = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    processes.stop().await;
}
