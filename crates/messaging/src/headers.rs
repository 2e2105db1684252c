//! What travels with a message: the headers of the request that caused it.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_context::{RequestContext, header};

/// All that is ever written to a message or read from one. No deadline: work on a message has one of its own.
const CARRIED: [&str; 11] = [
    header::REQUEST_ID,
    header::TRACEPARENT,
    header::TRACESTATE,
    header::BAGGAGE,
    header::B3,
    header::B3_TRACE_ID,
    header::B3_SPAN_ID,
    header::B3_PARENT_SPAN_ID,
    header::B3_SAMPLED,
    header::B3_FLAGS,
    header::OT_SPAN_CONTEXT,
];

/// Bytes of a value. Strangers' may have any length, and all of a message's have to go into one frame of ours.
const LONGEST_VALUE: usize = 4 * 1024;

/// Trace headers, request id and baggage; kept in an outbox as JSON, carried by a message as its headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Of the work under way; what is done with them later belongs under its current span.
    #[must_use]
    pub fn of(context: &RequestContext) -> Self {
        let mut headers = HeaderMap::new();
        context.write_headers(&mut headers, context.span_id());
        Self(headers)
    }

    /// From a JSON object of names and values. What is not a header of ours is left out: a message without its trace is
    /// still a message.
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        let pairs: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
        let pairs = pairs.iter();
        Self::collect(pairs.map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    /// As a JSON object of names and values.
    #[must_use]
    pub fn to_json(&self) -> String {
        let pairs: BTreeMap<&str, &str> = self.iter().collect();
        serde_json::to_string(&pairs).expect("texts are JSON")
    }

    pub(crate) fn collect<'h>(pairs: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let known = CARRIED
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name));
            if value.len() > LONGEST_VALUE {
                continue;
            }
            if let (Some(known), Ok(value)) = (known, HeaderValue::from_bytes(value)) {
                headers.insert(HeaderName::from_static(known), value);
            }
        }
        Self(headers)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    pub(crate) fn as_map(&self) -> &HeaderMap {
        &self.0
    }
}

impl From<HeaderMap> for Headers {
    fn from(headers: HeaderMap) -> Self {
        Self(headers)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_context::Policy;

    use super::*;

    #[tokio::test]
    async fn headers_survive_as_json() {
        let limit = Duration::from_secs(1);
        let context = RequestContext::for_task("test", limit, &Policy::inside(limit));
        let headers = Headers::of(&context);
        assert!(headers.to_json().contains(&context.trace_id().to_string()));
        assert_eq!(Headers::from_json(&headers.to_json()), headers);
    }

    #[test]
    fn only_what_travels_is_taken() {
        let text = r#"{"X-Request-Id":"r","traceparent":"t","grpc-timeout":"1S","cookie":"secret","b3":"a\nb"}"#;
        assert_eq!(
            Headers::from_json(text).to_json(),
            r#"{"traceparent":"t","x-request-id":"r"}"#
        );
        assert_eq!(Headers::from_json("not json"), Headers::default());
        let of =
            |length| Headers::from_json(&format!(r#"{{"tracestate":"{}"}}"#, "t".repeat(length)));
        assert_eq!((of(4096).iter().count(), of(4097).iter().count()), (1, 0));
    }
}
