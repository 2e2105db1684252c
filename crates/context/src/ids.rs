//! Trace and span ids: random, never zero, printed as lower-case hex.

use std::fmt;

/// 128 bits that name a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// 64 bits that name a span within its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1))
    }

    /// 32 hex digits, or the 16 of a 64-bit B3 id, which is padded with zeros. `None` for anything else and for zero.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let value = match hex.len() {
            32 | 16 => u128::from_str_radix(digits(hex)?, 16).ok()?,
            _ => return None,
        };
        (value != 0).then_some(Self(value))
    }

    /// The id as a number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }

    /// 16 hex digits. `None` for anything else and for zero.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 16 {
            return None;
        }
        let value = u64::from_str_radix(digits(hex)?, 16).ok()?;
        (value != 0).then_some(Self(value))
    }

    /// The id as a number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// `from_str_radix` takes a sign; a header must not have one.
fn digits(hex: &str) -> Option<&str> {
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then_some(hex)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}
