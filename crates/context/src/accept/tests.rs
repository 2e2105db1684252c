//! Every header rule: what comes in, what goes on, with spans of our own and without.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{Formats, Sampler, Span, SpanSink};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SPAN: &str = "00f067aa0ba902b7";

#[derive(Debug)]
struct Nowhere;
impl SpanSink for Nowhere {
    fn submit(&self, _: Span) {}
}

fn copying() -> Policy {
    Policy::inside(Duration::from_secs(1))
}

fn exporting() -> Policy {
    Policy {
        spans: Some(Arc::new(Nowhere)),
        ..copying()
    }
}

fn edge(policy: Policy) -> Policy {
    Policy {
        trusted: false,
        ..policy
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                value.parse().expect("a value"),
            )
        })
        .collect()
}

/// Accepts, then writes what goes onward.
fn through(pairs: &[(&'static str, &str)], policy: &Policy) -> (Accepted, HeaderMap) {
    let accepted = accept(&headers(pairs), policy);
    let mut onward = HeaderMap::new();
    accepted
        .context
        .write_headers(&mut onward, accepted.context.child_span());
    (accepted, onward)
}

fn w3c(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{SPAN}-{flags}")
}

#[test]
fn without_spans_headers_are_copied_as_received() {
    let traceparent = w3c(TRACE, "03");
    let single = format!("{TRACE}-{SPAN}-1");
    let id = "386ef654-eb83-4064-8c2f-0123456789ab";
    let sent = [
        ("x-request-id", id),
        ("traceparent", &traceparent),
        ("tracestate", "a=1,b=2"),
        ("b3", &single),
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-sampled", "1"),
        ("baggage", "user=1"),
        ("x-ot-span-context", "abc"),
    ];
    let (accepted, onward) = through(&sent, &copying());
    assert!(!accepted.conflict && accepted.context.sampled());
    assert_eq!(accepted.context.trace_id().to_string(), TRACE);
    assert_eq!(onward, headers(&sent));
}

#[test]
fn nothing_else_is_ever_forwarded() {
    let sent = [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("x-envoy-max-retries", "9"),
        ("x-forwarded-for", "1.2.3.4"),
        ("connection", "close"),
        ("grpc-timeout", "1S"),
        ("x-client-trace-id", "x"),
        ("user-agent", "x"),
        ("jwt", "x"),
    ];
    for policy in [copying(), exporting(), edge(copying()), edge(exporting())] {
        let (_, onward) = through(&sent, &policy);
        assert!(
            sent.iter().all(|(name, _)| !onward.contains_key(*name)),
            "{onward:?}"
        );
    }
}

#[test]
fn with_spans_both_formats_name_the_current_span() {
    for sent in [
        vec![("traceparent", w3c(TRACE, "01"))],
        vec![("b3", format!("{TRACE}-{SPAN}-1"))],
    ] {
        let sent: Vec<_> = sent
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let accepted = accept(&headers(&sent), &exporting());
        let context = &accepted.context;
        assert_eq!(context.parent_span(), SpanId::parse(SPAN));
        assert_ne!(context.span_id().to_string(), SPAN);
        let client = context.child_span();
        let mut onward = HeaderMap::new();
        context.write_headers(&mut onward, client);
        assert_eq!(onward["traceparent"], format!("00-{TRACE}-{client}-01"));
        assert_eq!(
            onward["b3"],
            format!("{TRACE}-{client}-1-{}", context.span_id())
        );
        assert_eq!(onward["x-b3-traceid"], TRACE);
        assert_eq!(onward["x-b3-spanid"], client.to_string());
        assert_eq!(onward["x-b3-parentspanid"], context.span_id().to_string());
        assert_eq!(onward["x-b3-sampled"], "1");
    }
}

#[test]
fn b3_alone_gets_a_traceparent_of_the_same_ids() {
    let single = format!("{TRACE}-{SPAN}-1");
    let multi = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
    ];
    for sent in [&[("b3", single.as_str())][..], &multi] {
        let (_, onward) = through(sent, &copying());
        assert_eq!(onward["traceparent"], w3c(TRACE, "01"));
        assert!(sent.iter().all(|(name, value)| onward[*name] == *value));
    }
    let (accepted, onward) = through(&[("b3", &format!("{}-{SPAN}-0", &TRACE[16..]))], &copying());
    assert_eq!(
        onward["traceparent"],
        format!("00-0000000000000000{}-{SPAN}-00", &TRACE[16..])
    );
    assert_eq!(
        accepted.context.trace_id().to_string(),
        format!("0000000000000000{}", &TRACE[16..])
    );
}

#[test]
fn on_disagreement_w3c_wins_and_b3_is_rewritten() {
    let traceparent = w3c(TRACE, "01");
    let multi = [
        ("x-b3-traceid", OTHER),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
    ];
    let single = format!("{OTHER}-{SPAN}-1-{SPAN}");
    for policy in [copying(), exporting()] {
        for b3 in [
            &multi[..],
            &[("b3", single.as_str())],
            &[("x-b3-sampled", "0")],
            &[("b3", "0")],
        ] {
            let sent = [&[("traceparent", traceparent.as_str())], b3].concat();
            let (accepted, onward) = through(&sent, &policy);
            assert!(accepted.conflict, "{sent:?}");
            assert_eq!(accepted.context.trace_id().to_string(), TRACE);
            assert!(accepted.context.sampled());
            for (name, value) in &onward {
                assert_ne!(value, OTHER, "{name}");
                assert!(!value.to_str().expect("ascii").starts_with(OTHER), "{name}");
            }
            assert!(
                onward
                    .get("x-b3-sampled")
                    .is_none_or(|sampled| sampled == "1")
            );
            assert!(
                onward
                    .get("b3")
                    .is_none_or(|b3| b3.to_str().expect("ascii").starts_with(TRACE))
            );
        }
    }
    let (accepted, _) = through(
        &[
            ("traceparent", &traceparent),
            ("b3", &format!("{}-{SPAN}", &TRACE[16..])),
        ],
        &copying(),
    );
    assert!(
        !accepted.conflict,
        "a 64-bit id that is the lower half agrees"
    );
}

#[test]
fn what_the_next_process_would_refuse_for_its_length_is_left_out() {
    let traceparent = w3c(TRACE, "01");
    for (length, kept) in [(4096, true), (4097, false)] {
        let state = format!("a={}", "x".repeat(length - 2));
        let sent = [
            ("traceparent", traceparent.as_str()),
            ("tracestate", &state),
            ("x-ot-span-context", &state),
        ];
        for policy in [copying(), exporting()] {
            let (_, onward) = through(&sent, &policy);
            assert_eq!(onward.contains_key("tracestate"), kept, "{length}");
            assert_eq!(onward.contains_key("x-ot-span-context"), kept, "{length}");
            assert!(onward.contains_key("traceparent"));
        }
    }
}

#[test]
fn a_malformed_traceparent_is_replaced() {
    for policy in [copying(), exporting()] {
        let sent = [("traceparent", "00-bad"), ("tracestate", "a=1")];
        let (accepted, onward) = through(&sent, &policy);
        assert!(w3c::parse(&onward["traceparent"]).is_some());
        assert!(
            onward["traceparent"]
                .to_str()
                .expect("ascii")
                .contains(&accepted.context.trace_id().to_string())
        );
        assert!(
            !onward.contains_key("tracestate"),
            "it belongs to a context that nobody can read"
        );
        let (accepted, onward) = through(&[sent[0], ("b3", &format!("{TRACE}-{SPAN}-1"))], &policy);
        assert_eq!(
            accepted.context.trace_id().to_string(),
            TRACE,
            "the good B3 counts"
        );
        assert!(
            onward["traceparent"]
                .to_str()
                .expect("ascii")
                .starts_with(&format!("00-{TRACE}"))
        );
    }
    let (_, onward) = through(
        &[("traceparent", &format!("01-{TRACE}-{SPAN}-01-more"))],
        &copying(),
    );
    assert_eq!(
        onward["traceparent"],
        w3c(TRACE, "01"),
        "a later version goes on as ours"
    );
}

#[test]
fn no_trace_header_gives_a_new_context() {
    let (accepted, onward) = through(&[], &copying());
    assert!(!accepted.context.sampled());
    assert_eq!(
        onward["traceparent"],
        format!(
            "00-{}-{}-00",
            accepted.context.trace_id(),
            accepted.context.span_id()
        )
    );
    assert!(!onward.contains_key("b3"));
    let (accepted, onward) = through(&[], &exporting());
    assert!(accepted.context.sampled() && accepted.context.parent_span().is_none());
    assert_eq!(
        &onward["x-request-id"].to_str().expect("ascii")[14..15],
        "9"
    );
}

#[test]
fn a_decision_without_ids_is_kept() {
    for sent in [("b3", "0"), ("x-b3-sampled", "0")] {
        let (accepted, onward) = through(&[sent], &exporting());
        assert!(!accepted.context.sampled() && accepted.context.recorder().is_none());
        assert_eq!(onward["x-b3-sampled"], "0");
        let (_, onward) = through(&[sent], &copying());
        assert_eq!(onward[sent.0], "0");
        assert!(
            onward["traceparent"]
                .to_str()
                .expect("ascii")
                .ends_with("-00")
        );
    }
}

#[test]
fn unsampled_stays_unsampled_and_makes_no_span() {
    let (accepted, onward) = through(&[("traceparent", &w3c(TRACE, "00"))], &exporting());
    assert!(accepted.context.recorder().is_none());
    assert!(
        onward["traceparent"]
            .to_str()
            .expect("ascii")
            .ends_with("-00")
    );
    assert_eq!(onward["x-b3-sampled"], "0");
}

#[test]
fn at_the_edge_ids_are_kept_and_the_decision_is_ours() {
    let traceparent = w3c(TRACE, "01");
    let single = format!("{TRACE}-{SPAN}-d");
    let multi = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "1"),
    ];
    for sent in [
        &[("traceparent", traceparent.as_str())][..],
        &[("b3", single.as_str())],
        &multi,
    ] {
        for policy in [
            edge(copying()),
            Policy {
                sampler: Sampler::OFF,
                ..edge(exporting())
            },
        ] {
            let (accepted, onward) = through(sent, &policy);
            assert_eq!(accepted.context.trace_id().to_string(), TRACE);
            assert!(!accepted.context.sampled());
            assert!(
                onward["traceparent"]
                    .to_str()
                    .expect("ascii")
                    .ends_with("-00")
            );
            assert!(
                onward
                    .get("x-b3-sampled")
                    .is_none_or(|sampled| sampled == "0")
            );
            assert!(
                onward
                    .get("b3")
                    .is_none_or(|b3| b3.to_str().expect("ascii").contains("-0"))
            );
            assert!(!onward.contains_key("x-b3-flags"));
        }
        let (accepted, onward) =
            through(&[sent, &[("x-b3-flags", "1")]].concat(), &edge(exporting()));
        assert!(accepted.context.sampled(), "our sampler is on");
        assert!(!onward.contains_key("x-b3-flags"));
    }
    let short = [
        ("x-b3-traceid", &TRACE[16..]),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
    ];
    assert_eq!(
        through(&short, &edge(copying())).1["x-b3-traceid"],
        TRACE[16..]
    );
    let (_, onward) = through(&[("b3", "1")], &edge(copying()));
    assert_eq!(onward["b3"], "0");
    let (_, onward) = through(&[("traceparent", &w3c(TRACE, "02"))], &edge(copying()));
    assert_eq!(onward["traceparent"], w3c(TRACE, "00"));
}

#[test]
fn at_the_edge_flags_are_dropped_whatever_they_say() {
    let unsampled = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "0"),
        ("x-b3-flags", "0"),
    ];
    assert!(
        !through(&unsampled, &edge(copying()))
            .1
            .contains_key("x-b3-flags")
    );
}

#[test]
fn a_request_id_is_kept_or_replaced() {
    let good = "386EF654-eb83-9064-8c2f-0123456789ab";
    for policy in [copying(), exporting(), edge(copying())] {
        assert_eq!(
            through(&[("x-request-id", good)], &policy).1["x-request-id"],
            good
        );
        let replaced = &through(&[("x-request-id", "evil")], &policy).1["x-request-id"];
        assert!(RequestId::parse(replaced).is_some());
    }
}

#[test]
fn propagators_choose_what_is_read_and_written() {
    let only = |list| Policy {
        formats: Formats::parse(list).expect("known names"),
        ..exporting()
    };
    let sent = [
        ("traceparent", w3c(OTHER, "01")),
        ("b3", format!("{TRACE}-{SPAN}-1")),
    ];
    let sent: Vec<_> = sent
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (accepted, onward) = through(&sent, &only("b3"));
    assert_eq!(accepted.context.trace_id().to_string(), TRACE);
    assert!(
        onward.contains_key("b3")
            && !onward.contains_key("traceparent")
            && !onward.contains_key("x-b3-traceid")
    );
    for formats in ["b3", "b3multi"] {
        let formats = Formats::parse(formats).expect("known names");
        let policy = Policy {
            formats,
            ..copying()
        };
        let (accepted, onward) = through(&[("traceparent", &w3c(OTHER, "01"))], &policy);
        let again = accept(&onward, &policy).context;
        assert_eq!(again.trace_id(), accepted.context.trace_id(), "{onward:?}");
        assert!(!again.sampled() && !onward.contains_key("traceparent"));
    }
    let (_, onward) = through(&sent, &only("none"));
    assert_eq!(
        onward.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["x-request-id"]
    );
    assert!(Formats::parse("jaeger").is_err());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_the_smaller_of_the_callers_and_our_own() {
    let remaining = |pairs: &[(&'static str, &str)], policy: &Policy| {
        let accepted = accept(&headers(pairs), policy);
        (
            accepted.context.deadline().remaining(),
            accepted.malformed_deadline,
        )
    };
    let (own, short) = (Duration::from_secs(1), Duration::from_millis(300));
    for (sent, expected) in [
        (&[][..], (own, false)),
        (&[("grpc-timeout", "300m")], (short, false)),
        (&[("grpc-timeout", "99999999H")], (own, false)),
        (&[("grpc-timeout", "0m")], (Duration::ZERO, false)),
        (&[("grpc-timeout", "+300m")], (own, true)),
        (&[("grpc-timeout", "300")], (own, true)),
    ] {
        assert_eq!(remaining(sent, &copying()), expected, "{sent:?}");
    }
    assert_eq!(
        remaining(&[("grpc-timeout", "300m")], &edge(copying())),
        (own, false),
        "a stranger's does not count"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_has_a_trace_and_a_deadline_of_its_own() {
    let context = RequestContext::for_task("relay", Duration::from_secs(30), &exporting());
    assert_eq!(context.deadline().remaining(), Duration::from_secs(30));
    assert!(context.recorder().is_some() && context.task() == Some("relay"));
    let context = RequestContext::for_task("relay", Duration::from_secs(30), &copying());
    let mut onward = HeaderMap::new();
    context.write_headers(&mut onward, context.child_span());
    assert!(
        onward["traceparent"]
            .to_str()
            .expect("ascii")
            .starts_with(&format!("00-{}", context.trace_id()))
    );
}
