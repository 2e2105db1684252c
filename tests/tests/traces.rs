//! The traces that `mesh up` keeps: whole, the same that any collector gets, and unimpressed by hostile spans.

use std::{collections::BTreeMap, time::Duration};

use mesh_tests::{Collector, Mesh, Output, Shop, SpanRecord, call, eventually};
use mesh_traces::{Kind, SpanRow, Stats, Trace, TraceId};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tonic::Code;

/// Much longer than spans are on their way.
const LIMIT: Duration = Duration::from_secs(60);
const PROCESSES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "fulfillment"];
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Places an order; the id of its trace.
async fn order(mesh: &Mesh, key: &str) -> String {
    let shop = Shop::new(mesh.gateway());
    let sku = shop.first_sku().await;
    let placed = shop.order(key, &sku, 1, "tok_ok").send().await;
    placed.expect_status(201).header("x-trace-id").to_owned()
}

/// What the page has of a trace, once that is as it should be.
async fn trace_when(mesh: &Mesh, id: &str, what: &str, is_so: impl Fn(&Trace) -> bool) -> Trace {
    let page = mesh.page();
    eventually(LIMIT, what, || async {
        let answer = page.get(&format!("/api/traces/{id}")).send().await;
        if answer.status != 200 {
            return Err(answer.text());
        }
        let trace: Trace = serde_json::from_slice(&answer.body).expect("a trace");
        if is_so(&trace) {
            Ok(trace)
        } else {
            Err(format!("{trace:#?}"))
        }
    })
    .await
}

fn names_every_process(trace: &Trace) -> bool {
    PROCESSES.iter().all(|name| {
        trace
            .summary
            .processes
            .iter()
            .any(|process| process == name)
    })
}

async fn stats(mesh: &Mesh) -> Stats {
    let answer = mesh
        .page()
        .get("/api/traces")
        .send()
        .await
        .expect_status(200);
    serde_json::from_value(answer.json()["stats"].clone()).expect("the store's figures")
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.errors.contains(why), "{output:?}");
}

#[tokio::test]
async fn an_order_is_drawn_with_every_process_and_shrinking_budgets() {
    let mut mesh = Mesh::start().await;
    let id = order(&mesh, "one").await;
    let shown = shown_in_the_readme();
    let is_whole = |trace: &Trace| trace.spans.len() >= facts(shown).len();
    let trace = trace_when(&mesh, &id, "all spans are there", is_whole).await;
    assert!(names_every_process(&trace), "{trace:#?}");
    budgets_shrink(&trace.spans);

    // What people are told to paste ends with the command that shows it.
    let told = mesh.process().output();
    let line = told
        .lines()
        .find(|line| line.trim_start().starts_with("curl "));
    assert!(
        line.is_some_and(|line| line.ends_with("&& cargo mesh trace last")),
        "{told}"
    );
    let drawn = mesh.run(&["trace", "last"]).await;
    assert_eq!(drawn.code, Some(0), "{drawn:?}");
    for text in PROCESSES
        .iter()
        .chain(&["POST /v1/orders", "201", "Charge", &id])
    {
        assert!(drawn.text.contains(text), "{text} in\n{}", drawn.text);
    }
    assert!(
        drawn.text.lines().all(|line| line.chars().count() <= 80),
        "{}",
        drawn.text
    );
    assert_eq!(
        facts(shown),
        facts(&drawn.text),
        "the README shows\n{shown}\nand the command draws\n{}",
        drawn.text
    );

    let json = mesh.run(&["trace", &id, "--json"]).await;
    let printed: Trace = serde_json::from_str(&json.text).expect("a trace");
    assert_eq!(printed, trace_when(&mesh, &id, "the same", |_| true).await);
    let unknown = mesh.run(&["trace", &"7".repeat(32)]).await;
    refused(&unknown, "only the newest are kept");
    mesh.stop().await;
}

/// Nobody has more time than who asked them; only who takes an order from the queue begins anew.
fn budgets_shrink(rows: &[SpanRow]) {
    // What was left to each span above.
    let mut path: Vec<Option<Duration>> = Vec::new();
    let mut compared = 0;
    for row in rows {
        path.truncate(row.depth);
        let above = path.last().copied().flatten();
        if matches!(row.kind, Kind::Server | Kind::Client | Kind::Consumer) {
            assert!(row.remaining.is_some(), "{row:#?}");
        }
        assert!(row.kind != Kind::Client || row.cap.is_some(), "{row:#?}");
        if row.kind != Kind::Consumer
            && let (Some(above), Some(remaining)) = (above, row.remaining)
        {
            // A call is given less than its caller has; on the way to the server a moment passes.
            let shrinks = match row.kind {
                Kind::Client => remaining < above,
                _ => remaining <= above,
            };
            assert!(shrinks, "{above:?} above {row:#?}");
            compared += 1;
        }
        path.push(row.remaining.or(above));
    }
    // Both sides of five calls.
    assert!(compared >= 10, "{rows:#?}");
}

/// The waterfall of an order, drawn one day: the same spans by the same processes with the same answers as today.
fn shown_in_the_readme() -> &'static str {
    let readme = include_str!("../../README.md");
    let (_, shown) = readme
        .split_once("$ cargo mesh trace last\n")
        .expect("the README shows it");
    shown.split_once("```").expect("the block ends").0
}

/// Of each span what is the same for every order: its name in the tree, its status, its process.
fn facts(drawn: &str) -> Vec<String> {
    let is_row = |line: &&str| PROCESSES.iter().any(|name| line.ends_with(name));
    let rows = drawn.lines().filter(is_row);
    rows.map(|line| {
        let (name, _) = line.split_once(['█', '░']).expect("a bar");
        let mut words = line.split_whitespace().rev();
        let process = words.next().expect("its process");
        let status = words.next().expect("its status, or the unit of a time");
        let is_unit = ["µs", "ms", "s", "min"].contains(&status);
        let status = if is_unit { "" } else { status };
        format!("{} {status} {process}", name.trim_end())
    })
    .collect()
}

/// A span, whoever tells of it.
type Told = (
    String,
    String,
    String,
    String,
    String,
    BTreeMap<String, String>,
    u64,
    bool,
);

fn by_the_collector(span: SpanRecord) -> Told {
    let duration = span.time.1 - span.time.0;
    (
        span.span_id,
        span.parent,
        span.service,
        span.name,
        span.kind.to_lowercase(),
        span.attributes,
        duration,
        span.failed,
    )
}

fn by_the_store(row: SpanRow) -> Told {
    (
        row.id,
        row.parent.unwrap_or_default(),
        row.service,
        row.name,
        row.kind.to_string(),
        row.attributes.into_iter().collect(),
        u64::try_from(row.duration.as_nanos()).expect("short"),
        row.error.is_some(),
    )
}

#[tokio::test]
async fn any_collector_gets_the_same_traces() {
    let collector = Collector::start();
    let mesh = Mesh::builder()
        .argument("--keep-traces")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let mut ids = Vec::new();
    for key in ["one", "two", "three"] {
        ids.push(order(&mesh, key).await);
    }
    for id in &ids {
        trace_when(&mesh, id, "every process is in it", names_every_process).await;
    }
    eventually(LIMIT, "both have as many spans", || async {
        let (kept, forwarded) = (
            stats(&mesh).await.received_spans,
            collector.spans().len() as u64,
        );
        if kept == forwarded {
            Ok(())
        } else {
            Err((kept, forwarded))
        }
    })
    .await;
    for id in &ids {
        let trace = trace_when(&mesh, id, "it is there", |_| true).await;
        let mut kept: Vec<_> = trace.spans.into_iter().map(by_the_store).collect();
        let mut sent: Vec<_> = collector
            .trace(id)
            .into_iter()
            .map(by_the_collector)
            .collect();
        kept.sort();
        sent.sort();
        assert!(sent.len() >= 9, "{sent:#?}");
        assert_eq!(kept, sent);
        let first = collector.trace(id).iter().map(|span| span.time.0).min();
        let start = trace.summary.start.duration_since(std::time::UNIX_EPOCH);
        assert_eq!(
            start.expect("after 1970").as_nanos(),
            u128::from(first.expect("spans"))
        );
    }
    mesh.stop().await;
}

#[tokio::test]
async fn a_users_collector_gets_all_and_the_mesh_says_so() {
    let collector = Collector::start();
    let mut mesh = Mesh::builder()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let id = order(&mesh, "one").await;
    eventually(LIMIT, "the collector has the order", || async {
        let spans = collector.trace(&id);
        if spans.len() >= 7 {
            Ok(())
        } else {
            Err(spans.len())
        }
    })
    .await;
    assert_eq!(stats(&mesh).await.received_spans, 0);
    for which in ["last", &id] {
        let output = mesh.run(&["trace", which]).await;
        refused(
            &output,
            &format!("export their spans to {}", collector.endpoint()),
        );
        refused(&output, "--keep-traces");
    }
    assert!(
        !mesh.process().output().contains("mesh trace"),
        "nothing to be seen here"
    );
    mesh.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_and_harms_nothing() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    drop(collector);
    let mut mesh = Mesh::builder()
        .argument("--keep-traces")
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .start()
        .await;
    let id = order(&mesh, "one").await;
    trace_when(&mesh, &id, "every process is in it", names_every_process).await;
    let complaint = format!("spans cannot be handed on to {endpoint}");
    let told = mesh.process().output();
    assert_eq!(told.matches(&complaint).count(), 1, "{told}");
    mesh.stop().await;
}

#[tokio::test]
async fn locally_every_request_is_sampled_unless_the_sampler_says_otherwise() {
    let mesh = Mesh::start().await;
    let asked = mesh.gateway().get("/v1/products");
    // Nobody outside decides what is traced.
    let unsampled = format!("00-{}-00f067aa0ba902b7-00", "5".repeat(32));
    let answer = asked
        .header("traceparent", &unsampled)
        .send()
        .await
        .expect_status(200);
    let id = answer.header("x-trace-id");
    assert_eq!(id, "5".repeat(32));
    trace_when(&mesh, id, "both sides of the call", |trace| {
        trace.spans.len() == 3
    })
    .await;
    mesh.stop().await;

    let mesh = Mesh::builder()
        .set("OTEL_TRACES_SAMPLER", "always_off")
        .start()
        .await;
    order(&mesh, "one").await;
    refused(
        &mesh.run(&["trace"]).await,
        "no trace yet: OTEL_TRACES_SAMPLER is always_off",
    );
    assert_eq!(stats(&mesh).await.received_spans, 0);
    mesh.stop().await;
}

/// Spans of strangers, each trace under an id of one digit.
struct Hostile(Vec<Span>);

impl Hostile {
    fn span(&mut self, trace: u8, (own, parent): (u64, u64), name: &str) -> &mut Span {
        let id = |n: u64| {
            if n == 0 {
                vec![]
            } else {
                n.to_be_bytes().to_vec()
            }
        };
        let begin = 1_795_000_000_000_000_000;
        self.0.push(Span {
            trace_id: vec![trace * 0x11; 16],
            span_id: id(own),
            parent_span_id: id(parent),
            name: name.to_owned(),
            start_time_unix_nano: begin + own,
            end_time_unix_nano: begin + 20_000,
            ..Span::default()
        });
        self.0.last_mut().expect("it was pushed")
    }

    fn request(self) -> ExportTraceServiceRequest {
        let attribute = KeyValue {
            key: "service.name".to_owned(),
            value: Some(text("<b>\u{1b}]0;nobody\u{7}\u{202e}")),
            key_strindex: 0,
        };
        let mut spans = ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: self.0,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        };
        spans.resource.get_or_insert_default().attributes = vec![attribute];
        ExportTraceServiceRequest {
            resource_spans: vec![spans],
        }
    }
}

fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

fn hostile() -> Vec<(u8, Hostile, usize)> {
    let mut all = Vec::new();
    let mut add = |trace: u8, shown: usize, fill: &dyn Fn(&mut Hostile)| {
        let mut spans = Hostile(Vec::new());
        fill(&mut spans);
        all.push((trace, spans, shown));
    };
    add(1, 1, &|spans| {
        let name = "<script>alert(1)</script>\u{1b}[2J\r\n\u{9b}31m\u{202e}";
        spans.span(1, (1, 0), name);
    });
    add(2, 1, &|spans| {
        let attribute = KeyValue {
            key: "\u{1b}[2J<img src=x>".to_owned(),
            value: Some(text(&"\u{1b}]".repeat(1 << 19))),
            key_strindex: 0,
        };
        spans.span(2, (1, 0), "1 MiB").attributes = vec![attribute];
    });
    add(3, 2_000, &|spans| {
        for own in 1..=10_000 {
            spans.span(3, (own, own - 1), "a long chain");
        }
    });
    add(4, 2_000, &|spans| {
        for own in 1..=10_000 {
            spans.span(4, (own, own + 20_000), "without parents");
        }
    });
    add(5, 3, &|spans| {
        for (own, parent) in [(1, 2), (2, 1), (3, 3)] {
            spans.span(5, (own, parent), "round");
        }
    });
    add(6, 2, &|spans| {
        spans.span(6, (1, 0), "no time").end_time_unix_nano = 0;
        spans.span(6, (1, 0), "for ever").end_time_unix_nano = u64::MAX;
    });
    all
}

#[tokio::test]
async fn hostile_spans_break_neither_the_store_nor_the_terminal() {
    let mesh = Mesh::start().await;
    let config = mesh_tests::Http::new(mesh.member("orders").admin).get("/config");
    let config = config.send().await.expect_status(200).json();
    let endpoint = config["OTEL_EXPORTER_OTLP_ENDPOINT"]
        .as_str()
        .expect("the receiver's");
    let receiver = endpoint
        .strip_prefix("http://")
        .expect("a URL")
        .parse()
        .expect("an address");

    // Bytes that are no UTF-8: a message whose only field is another one, encoded as bytes.
    let mut bytes = Hostile(Vec::new());
    bytes.span(9, (1, 0), "MARK");
    let mut bytes = bytes.request().resource_spans.remove(0).encode_to_vec();
    let mark = bytes
        .windows(4)
        .position(|four| four == b"MARK")
        .expect("its name");
    bytes[mark..mark + 2].copy_from_slice(&[0xc3, 0x28]);
    let answer = call(receiver, EXPORT, &[], &bytes).await;
    assert_eq!(answer.code, Code::Internal, "{}", answer.message);

    for (trace, spans, shown) in hostile() {
        let count = spans.0.len();
        let answer = call(receiver, EXPORT, &[], &spans.request()).await;
        assert_eq!(answer.code, Code::Ok, "{}", answer.message);
        let id = TraceId([trace * 0x11; 16]).to_string();
        let found = trace_when(&mesh, &id, "it is kept", |_| true).await;
        let counts = (found.summary.spans, found.spans.len(), found.left_out);
        assert_eq!(counts, (count, shown, count - shown));

        let (arguments, as_json) = (["trace", &id], ["trace", &id, "--json"]);
        let (drawn, json) = tokio::join!(mesh.run(&arguments), mesh.run(&as_json));
        for output in [&drawn, &json] {
            assert_eq!(output.code, Some(0), "{output:?}");
            let steers =
                |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!output.text.contains(steers), "{}", output.text);
        }
        let (drawn, json) = (drawn.text, json.text);
        assert!(drawn.contains('█') && drawn.contains(&id), "{drawn}");
        assert!(
            drawn.lines().all(|line| line.chars().count() <= 80),
            "{drawn}"
        );
        let printed: Trace = serde_json::from_str(&json).expect("a trace");
        assert_eq!(printed, found);
    }
    // An order is seen among them as if nothing were.
    let id = order(&mesh, "one").await;
    trace_when(&mesh, &id, "every process is in it", names_every_process).await;
    mesh.stop().await;
}
