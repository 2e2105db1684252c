//! The store by its interface: what is kept, what makes room, what is told of it.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ScopeSpans, Span, Status,
        span::{Link, SpanKind},
    },
};

use super::*;
use crate::{Kind, SpanRow};

/// Room for some traces of one span, whose texts fill it.
const ROOM: usize = 256 * 1024;

fn id(n: u64) -> TraceId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    TraceId(bytes)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn from(process: &str, spans: Vec<Span>) -> Vec<ResourceSpans> {
    vec![ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", process)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }]
}

/// Milliseconds after some time in 2026.
fn at(millis: u64) -> u64 {
    1_795_000_000_000_000_000 + millis * 1_000_000
}

/// Parent 0: none. From, to: in milliseconds.
fn span(trace: u64, (own, parent): (u8, u8), (start, end): (u64, u64), name: &str) -> Span {
    Span {
        trace_id: id(trace).0.to_vec(),
        span_id: vec![own; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: name.to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: at(start),
        end_time_unix_nano: at(end),
        ..Span::default()
    }
}

/// About 20 KiB, more than a dozen of which do not fit.
fn large(trace: u64) -> Span {
    let filler = "x".repeat(4_000);
    Span {
        attributes: vec![text("filler", &filler); 5],
        ..span(trace, (1, 0), (0, 1), "large")
    }
}

fn ids(store: &Store) -> Vec<TraceId> {
    let found = store.recent(&Filter::default(), usize::MAX);
    found.into_iter().map(|summary| summary.id).collect()
}

fn names(trace: &Trace) -> Vec<&str> {
    trace.spans.iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn a_trace_is_put_together_from_what_its_processes_send() {
    let store = Store::new(ROOM);
    store.add(from("payments", vec![span(1, (4, 3), (30, 40), "Charge")]));
    store.add(from(
        "orders",
        vec![
            span(1, (3, 2), (28, 42), "call Charge"),
            span(1, (2, 1), (10, 45), "PlaceOrder"),
        ],
    ));
    assert!(
        store.last().unwrap().spans[0].is_detached,
        "its root is not there yet"
    );
    let root = Span {
        attributes: vec![attribute("http.response.status_code", Value::IntValue(201))],
        ..span(1, (1, 0), (0, 50), "POST /v1/orders")
    };
    store.add(from("gateway", vec![root]));

    let trace = store.get(id(1)).unwrap();
    assert_eq!(Some(&trace), store.last().as_ref());
    assert_eq!(
        names(&trace),
        ["POST /v1/orders", "PlaceOrder", "call Charge", "Charge"]
    );
    let depths: Vec<_> = trace.spans.iter().map(|row| row.depth).collect();
    assert_eq!(depths, [0, 1, 2, 3]);
    assert!(
        trace
            .spans
            .iter()
            .all(|row| row.is_critical && !row.is_detached)
    );
    let charge = &trace.spans[3];
    assert_eq!(charge.process, "payments");
    assert_eq!(charge.kind, Kind::Server);
    assert_eq!(charge.parent.as_deref(), Some("0303030303030303"));
    let (offset, duration) = (Duration::from_millis(30), Duration::from_millis(10));
    assert_eq!((charge.offset, charge.duration), (offset, duration));

    let summary = &trace.summary;
    assert_eq!(
        (summary.route.as_str(), summary.status.as_str()),
        ("POST /v1/orders", "201")
    );
    assert_eq!(summary.duration, Duration::from_millis(50));
    assert_eq!(summary.took, Duration::from_millis(50));
    assert_eq!(summary.processes, ["gateway", "orders", "payments"]);
    assert_eq!((summary.spans, summary.is_error), (4, false));
    assert_eq!(store.recent(&Filter::default(), 9)[0], *summary);
}

#[test]
fn what_a_span_says_of_itself_is_found_in_its_row() {
    let mut told = span(1, (1, 0), (0, 1), "shop.payments.v1.PaymentsService/Charge");
    told.attributes = vec![
        attribute("mesh.deadline.remaining_ms", Value::IntValue(3_400)),
        attribute("mesh.deadline.cap_ms", Value::IntValue(-5)),
        attribute("http.response.status_code", Value::IntValue(200)),
        attribute("rpc.grpc.status_code", Value::IntValue(4)),
    ];
    told.dropped_events_count = 2;
    told.status = Some(Status {
        message: "no answer within 250ms".to_owned(),
        code: 2,
    });
    told.links = vec![
        Link {
            trace_id: id(9).0.to_vec(),
            ..Link::default()
        },
        Link::default(),
    ];
    let store = Store::new(ROOM);
    store.add(from("orders", vec![told]));
    let trace = store.last().unwrap();
    let row = &trace.spans[0];
    assert_eq!(row.remaining, Some(Duration::from_millis(3_400)));
    assert_eq!(row.cap, Some(Duration::ZERO));
    assert_eq!(row.status, "DEADLINE_EXCEEDED");
    assert_eq!(row.error.as_deref(), Some("no answer within 250ms"));
    assert_eq!(row.links, [id(9)]);
    assert_eq!(row.attributes[0].1, "3400");
    assert_eq!(
        row.attributes[4],
        ("…".to_owned(), "2 more events".to_owned())
    );
    assert!(trace.summary.is_error);
}

#[test]
fn the_oldest_traces_make_room_whole() {
    let store = Store::new(ROOM);
    for trace in 0..100 {
        store.add(from("gateway", vec![large(trace)]));
        let stats = store.stats();
        assert!(stats.bytes <= stats.limit, "{stats:?}");
    }
    let stats = store.stats();
    assert_eq!(stats.received_spans, 100);
    assert_eq!(stats.dropped_traces, 100 - stats.traces);
    assert_eq!(stats.dropped_spans, 100 - stats.spans);
    assert!((5..=12).contains(&stats.traces), "{stats:?}");
    let newest: Vec<_> = (100 - stats.traces..100).rev().map(id).collect();
    assert_eq!(ids(&store), newest);
    assert_eq!(store.get(id(0)), None);
}

#[test]
fn the_oldest_is_the_one_that_began_first_not_the_one_that_grew_last() {
    let store = Store::new(ROOM);
    store.add(from("gateway", vec![large(0)]));
    let mut next = 1;
    while store.stats().dropped_traces == 0 {
        store.add(from("gateway", vec![large(next)]));
        // It stays the oldest, however young its newest span is.
        if store.get(id(0)).is_some() {
            store.add(from("orders", vec![span(0, (2, 1), (0, 1), "small")]));
        }
        next += 1;
    }
    assert_eq!(store.get(id(0)), None);
    assert_eq!(ids(&store), (1..next).rev().map(id).collect::<Vec<_>>());
}

#[test]
fn a_late_span_of_a_dropped_trace_is_counted_and_begins_nothing() {
    let store = Store::new(ROOM);
    for trace in 0..30 {
        store.add(from("gateway", vec![large(trace)]));
    }
    let before = store.stats();
    store.add(from("payments", vec![span(3, (2, 1), (0, 1), "late")]));
    assert_eq!(store.get(id(3)), None);
    let after = store.stats();
    assert_eq!(after.received_spans, before.received_spans + 1);
    assert_eq!(after.dropped_spans, before.dropped_spans + 1);
    assert_eq!((after.traces, after.spans), (before.traces, before.spans));
    // What is remembered is bounded: of 256 KiB, 64 ids.
    for trace in 30..200 {
        store.add(from("gateway", vec![large(trace)]));
    }
    store.add(from("payments", vec![span(3, (2, 1), (0, 1), "very late")]));
    assert!(store.get(id(3)).is_some());
}

#[test]
fn one_trace_cannot_take_all_the_room() {
    let store = Store::new(ROOM);
    store.add(from("gateway", vec![span(1, (1, 0), (0, 1), "other")]));
    for _ in 0..100 {
        store.add(from("gateway", vec![large(2)]));
    }
    assert!(store.get(id(1)).is_some(), "nobody was dropped for it");
    let stats = store.stats();
    assert!(stats.bytes <= stats.limit / 3, "{stats:?}");
    assert_eq!(stats.dropped_traces, 0);
    assert_eq!(stats.dropped_spans, 101 - stats.spans);
}

#[test]
fn of_a_huge_trace_so_many_spans_are_kept_and_so_many_drawn() {
    let store = Store::new(64 << 20);
    for _ in 0..3 {
        store.add(from(
            "gateway",
            vec![span(1, (1, 0), (0, 1), "again"); 10_000],
        ));
    }
    let trace = store.last().unwrap();
    assert_eq!(
        (trace.summary.spans, trace.spans.len(), trace.left_out),
        (20_000, 2_000, 18_000)
    );
    assert_eq!(store.stats().dropped_spans, 10_000);
}

#[test]
fn spans_without_a_trace_are_counted() {
    let store = Store::new(ROOM);
    let nameless = Span {
        trace_id: vec![0; 16],
        ..span(1, (1, 0), (0, 1), "x")
    };
    store.add(from("gateway", vec![nameless]));
    let stats = store.stats();
    assert_eq!(
        (stats.traces, stats.received_spans, stats.dropped_spans),
        (0, 1, 1)
    );
    assert_eq!(store.last(), None);
}

#[test]
fn times_that_make_no_sense_stay_within_the_trace() {
    let store = Store::new(ROOM);
    let mut spans = vec![span(1, (1, 0), (10, 50), "root")];
    for (own, start, end) in [
        (2, 0, 0),
        (3, at(40), at(20)),
        (4, 0, at(30)),
        (5, u64::MAX, u64::MAX),
        (6, 1, at(15)),
    ] {
        spans.push(Span {
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            ..span(1, (own, 1), (0, 0), "odd")
        });
    }
    store.add(from("gateway", spans));
    let trace = store.last().unwrap();
    for SpanRow {
        offset, duration, ..
    } in &trace.spans
    {
        assert!(*offset + *duration <= trace.summary.duration);
    }
    assert_eq!(trace.spans.len(), 6);
    let json = serde_json::to_string(&trace).unwrap();
    assert_eq!(serde_json::from_str::<Trace>(&json).unwrap(), trace);
}

/// Route, status, milliseconds, id: empty or 0 is not given.
fn filter(route: &str, status: &str, at_least: u64, id: &str) -> Filter {
    Filter {
        route: Some(route.to_owned()),
        status: Some(status.to_owned()),
        at_least: Some(Duration::from_millis(at_least)).filter(|least| !least.is_zero()),
        id: Some(id.to_owned()),
    }
}

#[test]
fn filters_say_which() {
    let store = Store::new(ROOM);
    let (http, grpc) = ("http.response.status_code", "rpc.grpc.status_code");
    for (trace, name, key, status, millis) in [
        (1, "POST /v1/orders", http, 201, 40),
        (2, "POST /v1/orders", http, 503, 5),
        (3, "GET /v1/products", http, 200, 900),
        (4, "Reserve", grpc, 14, 7),
    ] {
        let mut told = span(trace, (1, 0), (0, millis), name);
        told.attributes = vec![attribute(key, Value::IntValue(status))];
        told.status = (trace == 4).then(|| Status {
            code: 2,
            ..Status::default()
        });
        store.add(from("a", vec![told]));
    }
    let whole = id(3).to_string().to_uppercase();
    for (filter, expected) in [
        (Filter::default(), &[4, 3, 2, 1][..]),
        (filter("", "", 0, ""), &[4, 3, 2, 1]),
        (filter("ORDERS", "", 0, ""), &[2, 1]),
        (filter("", "5xx", 0, ""), &[2]),
        (filter("", "201", 0, ""), &[1]),
        (filter("", "unavailable", 0, ""), &[4]),
        (filter("", "error", 0, ""), &[4]),
        (filter("", "", 40, ""), &[3, 1]),
        (filter("", "", 0, &whole), &[3]),
        (filter("", "", 0, "0707"), &[4, 3, 2, 1]),
        (filter("orders", "2xx", 0, ""), &[1]),
        (filter("nowhere", "", 0, ""), &[]),
    ] {
        let found = store.recent(&filter, 9).into_iter();
        let found: Vec<u8> = found.map(|summary| summary.id.0[15]).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    assert_eq!(store.recent(&Filter::default(), 2).len(), 2);
}

/// What it is called, and when it began.
fn begun(trace: u64, kind: SpanKind, start: u64) -> Vec<ResourceSpans> {
    let span = Span {
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(1),
        ..span(trace, (1, 0), (0, 0), "x")
    };
    from("a", vec![span])
}

#[test]
fn the_newest_is_the_one_that_began_last_however_it_arrived() {
    let store = Store::new(ROOM);
    for (trace, start) in [(1, 100), (2, 300), (3, 200), (4, u64::MAX)] {
        store.add(begun(trace, SpanKind::Server, start));
    }
    // One that begins at the end of time is not new for ever.
    assert_eq!(ids(&store), [2, 3, 1, 4].map(id));
    assert_eq!(store.last().unwrap().summary.id, id(2));
}

#[test]
fn the_last_is_what_somebody_asked_for() {
    let store = Store::new(ROOM);
    store.add(begun(1, SpanKind::Client, 100));
    assert_eq!(store.last().unwrap().summary.id, id(1));
    store.add(begun(2, SpanKind::Server, 200));
    for own in 3..100 {
        store.add(begun(own, SpanKind::Client, 100 * own));
    }
    assert_eq!(store.last().unwrap().summary.id, id(2));
    assert_eq!(ids(&store)[0], id(99));
}

#[test]
fn a_list_goes_beyond_one_look() {
    let store = Store::new(64 << 20);
    let most = 2 * LOOK as u64 + 3;
    for trace in 0..most {
        store.add(from("gateway", vec![span(trace, (1, 0), (0, 1), "x")]));
    }
    let newest_first: Vec<_> = (0..most).rev().map(id).collect();
    assert_eq!(ids(&store), newest_first);
    let oldest = Filter {
        id: Some(id(0).to_string()),
        ..Filter::default()
    };
    assert_eq!(store.recent(&oldest, 1).len(), 1);
}
