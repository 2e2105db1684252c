//! The request id: one UUID from the edge to the last hop.
//!
//! Envoy reads and writes its sampling decision at index 14 (`4`: none, `9`: sampled) and never samples a request whose id
//! is not of that shape, so an id that is not is replaced.

use std::fmt;

use http::HeaderValue;

/// 36 characters, 8-4-4-4-12 hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The received value if it has the shape of a UUID, any version digit.
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let shaped = bytes.len() == 36
            && bytes.iter().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => b.is_ascii_hexdigit(),
            });
        shaped.then(|| Self(value.clone()))
    }

    /// A new one that tells Envoy the sampling decision.
    pub(crate) fn new(sampled: bool) -> Self {
        let mut text = uuid::Uuid::new_v4().to_string();
        if sampled {
            text.replace_range(14..15, "9");
        }
        Self(HeaderValue::try_from(text).expect("a UUID is a header value"))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("hex digits and dashes are ASCII")
    }

    /// As it goes into a header.
    #[must_use]
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shape_of_a_uuid_is_kept() {
        for good in [
            "386ef654-eb83-9064-8c2f-0123456789ab",
            "386EF654-EB83-4064-0C2F-0123456789AB",
        ] {
            assert!(
                RequestId::parse(&HeaderValue::from_static(good)).is_some(),
                "{good}"
            );
        }
        for bad in [
            "",
            "evil",
            "386ef654eb8390648c2f0123456789ab",
            "386ef654-eb83-9064-8c2f-0123456789ag",
        ] {
            assert!(
                RequestId::parse(&HeaderValue::from_static(bad)).is_none(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_new_one_carries_the_decision_where_envoy_looks() {
        assert_eq!(&RequestId::new(true).as_str()[14..15], "9");
        assert_eq!(&RequestId::new(false).as_str()[14..15], "4");
        assert!(RequestId::parse(RequestId::new(true).header_value()).is_some());
    }
}
