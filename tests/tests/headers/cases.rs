//! Every combination of trace headers that a request may bring.

use crate::Edge;

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What a B3 trace id of 64 bits stands for.
const PADDED: &str = "0000000000000000a3ce929d0e0e4736";
const OTHER: &str = "11111111111111111111111111111111";
const SPAN: &str = "00f067aa0ba902b7";

/// Headers that come in, and what has to follow.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    sent: &'static [(&'static str, &'static str)],
    /// The trace that goes on; a new one if none.
    pub(crate) trace: Option<&'static str>,
    /// The span that called us.
    pub(crate) span: Option<&'static str>,
    /// What the caller decided.
    decision: Option<bool>,
    /// All of it can go on as it came.
    pub(crate) copied: bool,
    /// It disagrees with itself.
    pub(crate) conflict: bool,
}

impl Case {
    pub(crate) fn sent(&self) -> Vec<(&'static str, &'static str)> {
        self.sent.to_vec()
    }

    /// Whether the trace that goes on is sampled.
    pub(crate) fn sampled(&self, edge: Edge) -> bool {
        match (edge.trusted, edge.export) {
            (true, false) => self.decision.unwrap_or(false),
            (true, true) => self.decision.unwrap_or(true),
            (false, export) => export,
        }
    }
}

/// A trace goes on as it came.
const fn goes_on(sent: &'static [(&'static str, &'static str)], decision: Option<bool>) -> Case {
    Case {
        sent,
        trace: Some(TRACE),
        span: Some(SPAN),
        decision,
        copied: true,
        conflict: false,
    }
}

/// What came cannot be used.
const fn replaced(sent: &'static [(&'static str, &'static str)]) -> Case {
    Case {
        sent,
        trace: None,
        span: None,
        decision: None,
        copied: false,
        conflict: false,
    }
}

macro_rules! w3c {
    ($flags:literal) => {
        (
            "traceparent",
            concat!(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
                $flags
            ),
        )
    };
}

const TRACE_ID: (&str, &str) = ("x-b3-traceid", TRACE);
const SPAN_ID: (&str, &str) = ("x-b3-spanid", SPAN);
const SINGLE: (&str, &str) = ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1");

pub(crate) fn all() -> Vec<Case> {
    [
        w3c_only(),
        b3_multi_only(),
        b3_single_only(),
        together(),
        decisions_alone(),
        malformed(),
    ]
    .concat()
}

fn w3c_only() -> Vec<Case> {
    vec![
        replaced(&[]),
        goes_on(&[w3c!("01")], Some(true)),
        goes_on(&[w3c!("00")], Some(false)),
        goes_on(
            &[w3c!("01"), ("tracestate", "vendor=x,other=y")],
            Some(true),
        ),
    ]
}

fn b3_multi_only() -> Vec<Case> {
    let short = Case {
        trace: Some(PADDED),
        ..goes_on(
            &[
                ("x-b3-traceid", "a3ce929d0e0e4736"),
                SPAN_ID,
                ("x-b3-sampled", "1"),
            ],
            Some(true),
        )
    };
    vec![
        goes_on(&[TRACE_ID, SPAN_ID, ("x-b3-sampled", "1")], Some(true)),
        goes_on(&[TRACE_ID, SPAN_ID, ("x-b3-sampled", "0")], Some(false)),
        goes_on(
            &[
                TRACE_ID,
                SPAN_ID,
                ("x-b3-sampled", "1"),
                ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
            ],
            Some(true),
        ),
        goes_on(&[TRACE_ID, SPAN_ID, ("x-b3-flags", "1")], Some(true)),
        goes_on(
            &[
                TRACE_ID,
                SPAN_ID,
                ("x-b3-sampled", "0"),
                ("x-b3-flags", "0"),
            ],
            Some(false),
        ),
        goes_on(&[TRACE_ID, SPAN_ID], None),
        short,
    ]
}

fn b3_single_only() -> Vec<Case> {
    let short = Case {
        trace: Some(PADDED),
        ..goes_on(&[("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1")], Some(true))
    };
    vec![
        goes_on(&[SINGLE], Some(true)),
        goes_on(
            &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")],
            Some(false),
        ),
        goes_on(
            &[(
                "b3",
                "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1-05e3ac9a4f6e3b90",
            )],
            Some(true),
        ),
        goes_on(
            &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d")],
            Some(true),
        ),
        goes_on(
            &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")],
            None,
        ),
        short,
    ]
}

fn together() -> Vec<Case> {
    const AGREEING: Case = goes_on(
        &[w3c!("01"), SINGLE, TRACE_ID, SPAN_ID, ("x-b3-sampled", "1")],
        Some(true),
    );
    const DISAGREEING: Case = Case {
        copied: false,
        conflict: true,
        ..AGREEING
    };
    vec![
        AGREEING,
        goes_on(
            &[w3c!("00"), TRACE_ID, SPAN_ID, ("x-b3-sampled", "0")],
            Some(false),
        ),
        Case {
            sent: &[
                w3c!("01"),
                ("x-b3-traceid", OTHER),
                SPAN_ID,
                ("x-b3-sampled", "1"),
            ],
            ..DISAGREEING
        },
        Case {
            sent: &[
                w3c!("01"),
                TRACE_ID,
                ("x-b3-spanid", "2222222222222222"),
                ("x-b3-sampled", "1"),
            ],
            ..DISAGREEING
        },
        Case {
            sent: &[
                w3c!("01"),
                ("b3", "11111111111111111111111111111111-2222222222222222-1"),
            ],
            ..DISAGREEING
        },
        Case {
            sent: &[w3c!("01"), TRACE_ID, SPAN_ID, ("x-b3-sampled", "0")],
            ..DISAGREEING
        },
        Case {
            decision: Some(false),
            sent: &[w3c!("00"), SINGLE],
            ..DISAGREEING
        },
    ]
}

fn decisions_alone() -> Vec<Case> {
    let unsampled = Case {
        decision: Some(false),
        ..replaced(&[])
    };
    vec![
        Case {
            sent: &[("b3", "0")],
            copied: true,
            ..unsampled
        },
        Case {
            sent: &[("x-b3-sampled", "0")],
            copied: true,
            ..unsampled
        },
    ]
}

fn malformed() -> Vec<Case> {
    let b3_counts = |sent| Case {
        copied: false,
        ..goes_on(sent, Some(true))
    };
    vec![
        replaced(&[("traceparent", "")]),
        replaced(&[("traceparent", "nonsense"), ("tracestate", "")]),
        replaced(&[(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        )]),
        replaced(&[(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        )]),
        replaced(&[(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        )]),
        replaced(&[(
            "traceparent",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )]),
        replaced(&[(
            "traceparent",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        )]),
        replaced(&[(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        )]),
        replaced(&[(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        )]),
        replaced(&[("b3", "nonsense")]),
        replaced(&[TRACE_ID, ("x-b3-sampled", "1")]),
        b3_counts(&[("traceparent", "nonsense"), SINGLE]),
        b3_counts(&[
            ("traceparent", "nonsense"),
            TRACE_ID,
            SPAN_ID,
            ("x-b3-sampled", "1"),
        ]),
        b3_counts(&[w3c!("01"), ("b3", "nonsense")]),
    ]
}
