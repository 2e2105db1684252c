//! The trace context a call names, in each format.

use mesh_tests::Received;

/// What each format says; `None` when it is absent.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) w3c: Option<Named>,
    pub(crate) b3: Option<Named>,
    pub(crate) multi: Option<Named>,
}

/// Ids (empty when there are none) and decision.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) sampled: Option<bool>,
}

impl Seen {
    /// # Panics
    ///
    /// When what we send is malformed.
    pub(crate) fn of(call: &Received) -> Self {
        let value = |name: &str| Some(call.header(name)).filter(|value| !value.is_empty());
        let multi = ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"].map(value);
        Self {
            w3c: value("traceparent").map(|text| w3c(&text)),
            b3: value("b3").map(|text| single(&text)),
            multi: multi.iter().any(Option::is_some).then(|| {
                let [trace, span, sampled, flags] = multi.map(Option::unwrap_or_default);
                let decision = if flags == "1" {
                    Some(true)
                } else {
                    decision(&sampled)
                };
                Named {
                    trace_id: padded(&trace),
                    span_id: span,
                    sampled: decision,
                }
            }),
        }
    }
}

fn w3c(text: &str) -> Named {
    assert_eq!(text.len(), 55, "traceparent: {text}");
    let parts: Vec<_> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("traceparent: {text}")
    };
    assert_eq!(version, "00", "traceparent: {text}");
    assert!(["00", "01"].contains(&flags), "traceparent: {text}");
    Named {
        trace_id: trace.to_owned(),
        span_id: span.to_owned(),
        sampled: Some(flags == "01"),
    }
}

fn single(text: &str) -> Named {
    let parts: Vec<_> = text.split('-').collect();
    match parts[..] {
        [alone] => Named {
            trace_id: String::new(),
            span_id: String::new(),
            sampled: decision(alone),
        },
        [trace, span, ref rest @ ..] => Named {
            trace_id: padded(trace),
            span_id: span.to_owned(),
            sampled: rest.first().and_then(|text| decision(text)),
        },
        [] => unreachable!("splitting gives one part at least"),
    }
}

fn decision(text: &str) -> Option<bool> {
    match text {
        "" => None,
        "0" => Some(false),
        "1" | "d" => Some(true),
        other => panic!("b3 decision: {other}"),
    }
}

fn padded(trace: &str) -> String {
    if trace.is_empty() {
        String::new()
    } else {
        format!("{trace:0>32}")
    }
}
