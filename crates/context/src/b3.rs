//! B3 propagation: the single header and the five headers, reading and writing.
//!
//! <https://github.com/openzipkin/b3-propagation>. Either may carry a decision without ids (`b3: 0`).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{SpanId, TraceId, header};

/// Ids and decision of one B3 context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct B3 {
    /// Trace and span id; `None` for a decision without ids.
    pub(crate) ids: Option<(TraceId, SpanId)>,
    pub(crate) parent: Option<SpanId>,
    /// `None`: the decision is left to the receiver.
    pub(crate) sampled: Option<bool>,
    pub(crate) debug: bool,
    /// The trace id came with 16 digits.
    pub(crate) short: bool,
}

/// The five headers as they came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Multi<'h> {
    pub(crate) trace_id: Option<&'h HeaderValue>,
    pub(crate) span_id: Option<&'h HeaderValue>,
    pub(crate) parent: Option<&'h HeaderValue>,
    pub(crate) sampled: Option<&'h HeaderValue>,
    pub(crate) flags: Option<&'h HeaderValue>,
}

impl Multi<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        [
            self.trace_id,
            self.span_id,
            self.parent,
            self.sampled,
            self.flags,
        ]
        .iter()
        .all(Option::is_none)
    }

    /// Name and value of each that came.
    pub(crate) fn as_received(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> {
        [
            (header::B3_TRACE_ID, self.trace_id),
            (header::B3_SPAN_ID, self.span_id),
            (header::B3_PARENT_SPAN_ID, self.parent),
            (header::B3_SAMPLED, self.sampled),
            (header::B3_FLAGS, self.flags),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value.clone())))
    }

    /// `None` when a header is malformed or one of the two ids is missing.
    pub(crate) fn parse(&self) -> Option<B3> {
        let text = |value: Option<&HeaderValue>| {
            value
                .map(|v| v.to_str().map(str::to_owned))
                .transpose()
                .ok()
        };
        let (trace, span) = (text(self.trace_id)?, text(self.span_id)?);
        let ids = match (&trace, &span) {
            (Some(trace), Some(span)) => Some((TraceId::parse(trace)?, SpanId::parse(span)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let parent = match text(self.parent)? {
            Some(parent) => Some(SpanId::parse(&parent)?),
            None => None,
        };
        let debug = text(self.flags)?.is_some_and(|flags| flags == "1");
        let sampled = match text(self.sampled)?.as_deref() {
            Some("1" | "true" | "True") => Some(true),
            Some("0" | "false" | "False") => Some(false),
            Some(_) => return None,
            None => None,
        };
        let short = trace.is_some_and(|trace| trace.len() == 16);
        Some(B3 {
            ids,
            parent,
            sampled: if debug { Some(true) } else { sampled },
            debug,
            short,
        })
    }
}

/// Reads the single header; `None` when it is malformed.
pub(crate) fn parse_single(value: &HeaderValue) -> Option<B3> {
    let text = value.to_str().ok()?;
    let decision = |text: &str| match text {
        "1" | "true" => Some((true, false)),
        "0" | "false" => Some((false, false)),
        "d" => Some((true, true)),
        _ => None,
    };
    if let Some((sampled, debug)) = decision(text) {
        return Some(B3 {
            ids: None,
            parent: None,
            sampled: Some(sampled),
            debug,
            short: false,
        });
    }
    let mut fields = text.split('-');
    let (trace, span) = (fields.next()?, fields.next()?);
    let decided = fields
        .next()
        .map(|d| decision(d).ok_or(()))
        .transpose()
        .ok()?;
    let parent = fields
        .next()
        .map(|p| SpanId::parse(p).ok_or(()))
        .transpose()
        .ok()?;
    if fields.next().is_some() {
        return None;
    }
    Some(B3 {
        ids: Some((TraceId::parse(trace)?, SpanId::parse(span)?)),
        parent,
        sampled: decided.map(|(sampled, _)| sampled),
        debug: decided.is_some_and(|(_, debug)| debug),
        short: trace.len() == 16,
    })
}

/// What is written onward: always with ids and a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) sampled: bool,
    pub(crate) debug: bool,
    /// Writes the trace id with the 16 digits it came with.
    pub(crate) short: bool,
}

impl Outgoing {
    fn trace(&self) -> String {
        let mut text = self.trace_id.to_string();
        if self.short {
            text.drain(..16);
        }
        text
    }

    pub(crate) fn single(&self) -> HeaderValue {
        let decision = match (self.debug, self.sampled) {
            (true, _) => "d",
            (false, true) => "1",
            (false, false) => "0",
        };
        let mut text = format!("{}-{}-{decision}", self.trace(), self.span_id);
        if let Some(parent) = self.parent {
            text.push('-');
            text.push_str(&parent.to_string());
        }
        value(text)
    }

    /// The five headers, as far as there is something to say in each.
    pub(crate) fn multi(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> {
        let sampled = HeaderValue::from_static(if self.sampled { "1" } else { "0" });
        [
            Some((header::B3_TRACE_ID, value(self.trace()))),
            Some((header::B3_SPAN_ID, value(self.span_id.to_string()))),
            self.parent
                .map(|parent| (header::B3_PARENT_SPAN_ID, value(parent.to_string()))),
            Some((header::B3_SAMPLED, sampled)),
            self.debug
                .then(|| (header::B3_FLAGS, HeaderValue::from_static("1"))),
        ]
        .into_iter()
        .flatten()
    }

    /// Writes both forms, as far as they are wanted.
    pub(crate) fn write(&self, headers: &mut HeaderMap, single: bool, multi: bool) {
        if single {
            headers.insert(header::B3, self.single());
        }
        if multi {
            headers.extend(
                self.multi()
                    .map(|(name, value)| (HeaderName::from_static(name), value)),
            );
        }
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hex digits and dashes are a header value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn single(text: &str) -> Option<B3> {
        parse_single(&HeaderValue::from_bytes(text.as_bytes()).ok()?)
    }

    #[test]
    fn every_form_of_the_single_header_is_read() {
        for (text, sampled, debug) in [("1", true, false), ("0", false, false), ("d", true, true)] {
            let b3 = single(text).expect("a decision alone");
            assert_eq!((b3.ids, b3.sampled, b3.debug), (None, Some(sampled), debug));
            let b3 = single(&format!("{TRACE}-{SPAN}-{text}-05e3ac9a4f6e3b90"))
                .expect("all four fields");
            assert_eq!(
                (b3.sampled, b3.debug, b3.parent.is_some()),
                (Some(sampled), debug, true)
            );
        }
        assert_eq!(
            single(&format!("{TRACE}-{SPAN}"))
                .expect("deferred")
                .sampled,
            None
        );
        let short = single(&format!("{}-{SPAN}-1", &TRACE[16..])).expect("64 bits");
        assert!(
            short.short
                && short
                    .ids
                    .expect("ids")
                    .0
                    .to_string()
                    .starts_with("0000000000000000")
        );
    }

    #[test]
    fn malformed_headers_are_refused() {
        let long = format!("{TRACE}-{SPAN}-1-{SPAN}-x");
        for text in [
            "",
            "x",
            "-",
            TRACE,
            "zz-zz",
            &format!("{TRACE}-{SPAN}-2"),
            &format!("{TRACE}-{SPAN}-1-x"),
            &long,
        ] {
            assert_eq!(single(text), None, "{text:?}");
        }
        let good = HeaderValue::from_static(TRACE);
        let bad = HeaderValue::from_static("nonsense");
        assert_eq!(
            Multi {
                trace_id: Some(&good),
                ..Multi::default()
            }
            .parse(),
            None,
            "a trace id alone"
        );
        assert_eq!(
            Multi {
                sampled: Some(&bad),
                ..Multi::default()
            }
            .parse(),
            None,
            "no decision"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = single(&text);
        }

        #[test]
        fn what_is_written_is_read(sampled: bool, debug: bool, parent: bool) {
            let sampled = sampled || debug;
            let (trace_id, span_id) = (TraceId::random(), SpanId::random());
            let parent = parent.then(SpanId::random);
            let out = Outgoing { trace_id, span_id, parent, sampled, debug, short: false };
            let mut headers = HeaderMap::new();
            out.write(&mut headers, true, true);
            let expected = B3 { ids: Some((trace_id, span_id)), parent, sampled: Some(sampled), debug, short: false };
            prop_assert_eq!(parse_single(&headers[header::B3]), Some(expected));
            let multi = Multi {
                trace_id: headers.get(header::B3_TRACE_ID),
                span_id: headers.get(header::B3_SPAN_ID),
                parent: headers.get(header::B3_PARENT_SPAN_ID),
                sampled: headers.get(header::B3_SAMPLED),
                flags: headers.get(header::B3_FLAGS),
            };
            prop_assert_eq!(multi.parse(), Some(expected));
        }
    }
}
