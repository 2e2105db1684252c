//! W3C Trace Context: reads and writes `traceparent`.
//!
//! Stricter than Envoy, which passes a malformed header on and makes no span for it: here it is replaced.

use http::HeaderValue;

use crate::{SpanId, TraceId};

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) sampled: bool,
    /// It is of version 00 and can be passed on byte for byte.
    pub(crate) current: bool,
}

/// Length of a header of version 00: `00-`, 32, `-`, 16, `-`, 2.
const LENGTH: usize = 55;

/// `None` when the header is not what <https://www.w3.org/TR/trace-context/#traceparent-header> asks for. A later version
/// may be longer; its first four fields are read, as the standard says.
pub(crate) fn parse(value: &HeaderValue) -> Option<TraceParent> {
    let text = value.to_str().ok()?;
    let version = text.get(..2)?;
    let known = version == "00";
    if !lower_hex(version) || version == "ff" || (known && text.len() != LENGTH) {
        return None;
    }
    if text.len() > LENGTH && text.as_bytes()[LENGTH] != b'-' {
        return None;
    }
    let mut fields = text.get(3..LENGTH)?.split('-');
    let (trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?);
    let shaped = text.as_bytes()[2] == b'-'
        && trace.len() == 32
        && flags.len() == 2
        && fields.next().is_none();
    if !shaped || ![trace, span, flags].into_iter().all(lower_hex) {
        return None;
    }
    Some(TraceParent {
        trace_id: TraceId::parse(trace)?,
        span_id: SpanId::parse(span)?,
        sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        current: known,
    })
}

/// A header of version 00.
pub(crate) fn format(trace_id: TraceId, span_id: SpanId, sampled: bool) -> HeaderValue {
    let text = format!("00-{trace_id}-{span_id}-{:02x}", u8::from(sampled));
    HeaderValue::try_from(text).expect("hex digits and dashes are a header value")
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(text: &str) -> Option<TraceParent> {
        parse(&HeaderValue::from_bytes(text.as_bytes()).ok()?)
    }

    #[test]
    fn a_good_header_is_read_and_written_back() {
        let parent = read(GOOD).expect("it is well formed");
        assert!(parent.sampled && parent.current);
        assert_eq!(
            format(parent.trace_id, parent.span_id, parent.sampled),
            GOOD
        );
        assert!(
            !read(&GOOD.replace("-01", "-00"))
                .expect("unsampled")
                .sampled
        );
        assert!(read(&GOOD.replace("-01", "-03")).expect("level 2").sampled);
    }

    #[test]
    fn a_later_version_is_read_but_not_passed_on() {
        let longer = format!("01{}-what-comes", &GOOD[2..]);
        for text in [longer.as_str(), &format!("01{}", &GOOD[2..])] {
            assert!(!read(text).expect("a later version").current, "{text}");
        }
    }

    #[test]
    fn a_malformed_header_is_refused() {
        let cases = [
            "",
            "00",
            "garbage",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
            "0é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ];
        for text in cases {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = read(&text);
        }

        #[test]
        fn what_is_written_is_read(trace in 1u128.., span in 1u64.., sampled: bool) {
            let trace = TraceId::parse(&format!("{trace:032x}")).expect("not zero");
            let span = SpanId::parse(&format!("{span:016x}")).expect("not zero");
            let read = parse(&format(trace, span, sampled)).expect("what is written is well formed");
            prop_assert_eq!((read.trace_id, read.span_id, read.sampled), (trace, span, sampled));
        }
    }
}
