//! What a recording peer sees of the headers that came in, one, two and three calls away from the edge.
//!
//! ```text
//!   GET /v1/products   gateway ──► recorder                                   depth 1
//!   POST /v1/orders    gateway ──► orders ──► recorder                        depth 2
//!                                     └─────► relay ──► recorder              depth 3
//! ```

#[path = "headers/cases.rs"]
mod cases;
#[path = "headers/chain.rs"]
mod chain;
#[path = "headers/seen.rs"]
mod seen;

use std::collections::BTreeSet;

use self::{
    cases::{Case, TRACE},
    chain::{Chain, Hop},
    seen::{Named, Seen},
};

const TRACE_HEADERS: [&str; 8] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];
/// A `traceparent` that any of these tests may send.
const TRACEPARENT: (&str, &str) = (
    "traceparent",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);

#[tokio::test]
async fn a_trusted_edge_without_export_passes_headers_on_as_they_came() {
    every_case(
        &Chain::start(Edge {
            trusted: true,
            export: false,
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_trusted_edge_with_export_writes_headers_from_its_own_spans() {
    every_case(
        &Chain::start(Edge {
            trusted: true,
            export: true,
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn an_edge_without_export_takes_nobodys_sampling_decision() {
    every_case(
        &Chain::start(Edge {
            trusted: false,
            export: false,
        })
        .await,
    )
    .await;
}

#[tokio::test]
async fn an_edge_with_export_samples_by_itself() {
    every_case(
        &Chain::start(Edge {
            trusted: false,
            export: true,
        })
        .await,
    )
    .await;
}

/// How the mesh is set up.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// `MESH_TRUST_EDGE_HEADERS`.
    pub trusted: bool,
    /// There is an OTLP endpoint.
    pub export: bool,
}

async fn every_case(chain: &Chain) {
    for case in cases::all() {
        let conflicts = chain.conflicts().await;
        let hops = chain.send(&case.sent()).await;
        for hop in &hops {
            case_holds(&case, chain.edge, hop);
        }
        let (before, after) = (conflicts, chain.conflicts().await);
        // Both requests of a case disagree with themselves, or neither does; behind the edge all agree.
        let expected = if case.conflict { 2.0 } else { 0.0 };
        assert!(
            (after - before - expected).abs() < f64::EPSILON,
            "{case:?}: {before} to {after} conflicts"
        );
    }
}

fn case_holds(case: &Case, edge: Edge, hop: &Hop) {
    let seen = Seen::of(&hop.call);
    let told = format!("{edge:?} {case:#?} {hop:#?}");
    let Some(w3c) = &seen.w3c else {
        panic!("no traceparent: {told}")
    };
    trace_goes_on(case, edge, hop, w3c);
    formats_agree(&seen, w3c, &told);

    let sent: BTreeSet<&str> = case.sent().iter().map(|(name, _)| *name).collect();
    let sent_multi = sent.iter().any(|name| name.starts_with("x-b3-"));
    assert_eq!(
        seen.b3.is_some(),
        edge.export || sent.contains("b3"),
        "{told}"
    );
    assert_eq!(seen.multi.is_some(), edge.export || sent_multi, "{told}");
    if !edge.trusted {
        assert_eq!(hop.call.header("x-b3-flags"), "", "{told}");
    }
    for (name, value) in case.sent() {
        let copied = case.copied && edge.trusted && !edge.export;
        if copied || name == "tracestate" {
            assert_eq!(hop.call.header(name), value, "not as it came: {told}");
        }
    }
}

/// The right trace goes on, from the right span, with the right decision.
fn trace_goes_on(case: &Case, edge: Edge, hop: &Hop, w3c: &Named) {
    let told = format!("{edge:?} {case:#?} {hop:#?}");
    assert_eq!(
        w3c.trace_id, hop.answered_trace,
        "x-trace-id names another trace: {told}"
    );
    match case.trace {
        Some(trace) => assert_eq!(w3c.trace_id, trace, "{told}"),
        None => {
            let sent = case.sent();
            let reused = sent.iter().any(|(_, value)| value.contains(&w3c.trace_id));
            assert!(!reused, "{told}");
        }
    }
    if let Some(span) = case.span {
        assert_eq!(
            w3c.span_id == span,
            !edge.export,
            "own spans are named, and no others: {told}"
        );
    }
    assert_eq!(w3c.sampled, Some(case.sampled(edge)), "{told}");
}

/// Whatever B3 says, it says what W3C says.
fn formats_agree(seen: &Seen, w3c: &Named, told: &str) {
    for b3 in seen.b3.iter().chain(&seen.multi) {
        assert!(
            b3.sampled
                .is_none_or(|sampled| Some(sampled) == w3c.sampled),
            "{told}"
        );
        if !b3.trace_id.is_empty() {
            assert_eq!(b3.trace_id, w3c.trace_id, "{told}");
            assert_eq!(b3.span_id, w3c.span_id, "both name the same parent: {told}");
        }
    }
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_one_and_made_if_not() {
    const GOOD: [&str; 3] = [
        "386ef654-eb83-4064-9a2c-3d1f6f9f2c11",
        "386ef654-eb83-9064-9a2c-3d1f6f9f2c11",
        "386EF654-EB83-A064-1A2C-3D1F6F9F2C11",
    ];
    const BAD: [&str; 6] = [
        "",
        "1",
        "386ef654-eb83-4064-9a2c-3d1f6f9f2c1",
        "386ef654-eb83-4064-9a2c-3d1f6f9f2c111",
        "386ef654-eb83-4064-9a2c-3d1f6f9f2c1g",
        "386ef654eb83-4064-9a2c--3d1f6f9f2c11",
    ];
    for (export, digit) in [(false, '4'), (true, '9')] {
        let chain = Chain::start(Edge {
            trusted: false,
            export,
        })
        .await;
        for id in GOOD {
            for hop in chain.send(&[("x-request-id", id)]).await {
                assert_eq!(hop.call.header("x-request-id"), id, "{hop:?}");
                assert_eq!(hop.answered_request, id, "{hop:?}");
            }
        }
        let missing: &[(&str, &str)] = &[];
        let bad = BAD.map(|id| [("x-request-id", id)]);
        for sent in bad.iter().map(<[_; 1]>::as_slice).chain([missing]) {
            for hop in chain.send(sent).await {
                let made = hop.call.header("x-request-id");
                assert_eq!(made, hop.answered_request, "{sent:?} {hop:?}");
                assert_eq!(
                    made.chars().nth(14),
                    Some(digit),
                    "the sampling digit of {made}, {sent:?}"
                );
                let shape: String = made
                    .chars()
                    .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
                    .collect();
                assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "{sent:?}");
            }
        }
    }
}

#[tokio::test]
async fn baggage_and_the_span_context_of_opentracing_go_along_within_limits() {
    let nine = [
        "a=1", "b=2;p=q", "c=3", "d=4", "e=5", "f=6", "g=7", "h=8", "i=9",
    ];
    let (nine, eight) = (nine.join(","), nine[..8].join(","));
    let long = format!("a=1,b={}", "x".repeat(1024));
    for export in [false, true] {
        let chain = Chain::start(Edge {
            trusted: false,
            export,
        })
        .await;
        for (sent, onward) in [("a=1, b=2", "a=1,b=2"), (&nine, &eight), (&long, "a=1")] {
            for hop in chain
                .send(&[("baggage", sent), ("x-ot-span-context", "opaque;1")])
                .await
            {
                assert_eq!(
                    hop.call.header("baggage").replace(' ', ""),
                    onward,
                    "{hop:?}"
                );
                assert_eq!(hop.call.header("x-ot-span-context"), "opaque;1", "{hop:?}");
            }
        }
    }
}

#[tokio::test]
async fn credentials_and_headers_of_proxies_stay_behind() {
    const STAY: [(&str, &str); 14] = [
        ("authorization", "Bearer secret"),
        ("cookie", "a=b"),
        ("x-envoy-max-retries", "3"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-decorator-operation", "x"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-client-cert", "By=x"),
        ("x-client-trace-id", "386ef654-eb83-4064-9a2c-3d1f6f9f2c11"),
        ("x-real-ip", "10.0.0.1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic secret"),
        ("x-anything", "else"),
        ("connection", "keep-alive, x-anything"),
    ];
    for trusted in [false, true] {
        let chain = Chain::start(Edge {
            trusted,
            export: false,
        })
        .await;
        for hop in chain.send(&STAY).await {
            for (name, _) in STAY {
                assert_eq!(hop.call.header(name), "", "{name} went along: {hop:?}");
            }
        }
    }
}

#[tokio::test]
async fn only_the_propagators_that_are_set_are_read_and_written() {
    for (propagators, written) in [
        ("tracecontext", &["traceparent"][..]),
        ("b3", &["b3"]),
        ("b3multi", &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]),
        ("tracecontext,b3", &["traceparent", "b3"]),
        ("none", &[]),
    ] {
        let chain = Chain::start_with(
            Edge {
                trusted: true,
                export: true,
            },
            Some(propagators),
        )
        .await;
        for hop in chain.send(&[TRACEPARENT]).await {
            for name in TRACE_HEADERS
                .iter()
                .filter(|name| **name != "x-b3-parentspanid")
            {
                let expected = written.contains(name);
                assert_eq!(
                    !hop.call.header(name).is_empty(),
                    expected,
                    "{propagators}: {name} {hop:?}"
                );
            }
            let same = hop.answered_trace == TRACE;
            assert_eq!(
                same,
                propagators.contains("tracecontext"),
                "{propagators}: {hop:?}"
            );
        }
    }
}
