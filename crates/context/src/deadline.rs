//! The deadline: one absolute instant inside a process, a duration on the wire.
//!
//! It is set at the edge and only shrinks. What a process keeps for itself before it calls another is the *reserve*; what
//! it sends is strictly shorter than what it was given.

use std::{fmt, time::Duration};

use http::HeaderValue;
use tokio::time::Instant;

/// Part of the remaining time kept back for the way and the own work after the call, one in so many.
const RESERVE_SHARE: u32 = 20;
/// The reserve is at least this: more than two scheduler delays on a busy machine.
const RESERVE_MIN: Duration = Duration::from_millis(20);
/// The reserve is at most this: seconds-long budgets need no more.
const RESERVE_MAX: Duration = Duration::from_millis(250);

/// When work on a request must be over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So much from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self::at(Instant::now() + time)
    }

    /// At that instant.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant, for a timer.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Nothing is left.
    #[must_use]
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this one and so much from now.
    #[must_use]
    pub fn shorten_to(self, time: Duration) -> Self {
        self.min(Self::after(time))
    }

    /// What a call made now gets: `min(cap, remaining − reserve)`, the reserve being 5 % of what remains, at least 20 ms and
    /// at most 250 ms. Strictly before this deadline, always; passed when less than the reserve is left.
    #[must_use]
    pub fn outbound(self, cap: Duration) -> Self {
        let now = Instant::now();
        let remaining = self.0.saturating_duration_since(now);
        let reserve = (remaining / RESERVE_SHARE).clamp(RESERVE_MIN, RESERVE_MAX);
        Self(now + cap.min(remaining.saturating_sub(reserve)))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadline(in {:?})", self.remaining())
    }
}

/// A `grpc-timeout` that is not 1 to 8 digits and one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed grpc-timeout: expected 1 to 8 digits and one of H, M, S, m, u, n")]
pub struct MalformedTimeout;

/// Reads a `grpc-timeout` header, strictly.
///
/// # Errors
/// The value is not 1 to 8 ASCII digits followed by one unit, H, M, S, m, u or n:
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>.
pub fn parse_grpc_timeout(value: &HeaderValue) -> Result<Duration, MalformedTimeout> {
    let (unit, digits) = value.as_bytes().split_last().ok_or(MalformedTimeout)?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(MalformedTimeout);
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(MalformedTimeout),
    })
}

/// Writes a `grpc-timeout` header in the finest unit that 8 digits hold, rounded down: never longer than `time`.
#[must_use]
pub fn format_grpc_timeout(time: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let (number, unit) = match (
        time.as_micros(),
        time.as_millis(),
        u128::from(time.as_secs()),
    ) {
        (micros, ..) if micros < LIMIT => (micros, 'u'),
        (_, millis, _) if millis < LIMIT => (millis, 'm'),
        (_, _, secs) => (secs.min(LIMIT - 1), 'S'),
    };
    HeaderValue::try_from(format!("{number}{unit}"))
        .expect("digits and a letter are a header value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Duration, MalformedTimeout> {
        parse_grpc_timeout(&HeaderValue::from_bytes(text.as_bytes()).map_err(|_| MalformedTimeout)?)
    }

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("42S", Duration::from_secs(42)),
            ("13m", Duration::from_millis(13)),
            ("2u", Duration::from_micros(2)),
            ("82n", Duration::from_nanos(82)),
            ("0m", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        for text in [
            "",
            "m",
            "100",
            "+100m",
            "-1m",
            "1e2m",
            "100 m",
            " 1m",
            "123456789m",
            "1x",
            "1mm",
            "0x1m",
            "１m",
        ] {
            assert_eq!(parse(text), Err(MalformedTimeout), "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_is_five_per_cent_within_its_bounds() {
        let long = Duration::from_secs(3600);
        for (remaining, kept) in [
            (100, 20),
            (400, 20),
            (1000, 50),
            (4600, 230),
            (5000, 250),
            (60_000, 250),
        ] {
            let outbound = Deadline::after(Duration::from_millis(remaining))
                .outbound(long)
                .remaining();
            assert_eq!(
                outbound,
                Duration::from_millis(remaining - kept),
                "of {remaining} ms"
            );
        }
        assert!(
            Deadline::after(Duration::from_millis(20))
                .outbound(long)
                .passed()
        );
        let capped = Deadline::after(Duration::from_secs(5)).outbound(Duration::from_millis(650));
        assert_eq!(capped.remaining(), Duration::from_millis(650));
    }

    #[tokio::test(start_paused = true)]
    async fn no_child_reaches_its_parent_in_ten_thousand_random_trees() {
        for _ in 0..10_000 {
            let mut deadline =
                Deadline::after(Duration::from_micros(rand::random_range(0..6_000_000)));
            for _hop in 0..rand::random_range(1..6) {
                tokio::time::advance(Duration::from_micros(rand::random_range(0..50_000))).await;
                let child =
                    deadline.outbound(Duration::from_micros(rand::random_range(0..6_000_000)));
                let wire = parse_grpc_timeout(&format_grpc_timeout(child.remaining()))
                    .expect("well formed");
                assert!(wire <= child.remaining());
                assert!(
                    child.passed() || child < deadline,
                    "{child:?} of {deadline:?}"
                );
                deadline = child;
            }
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read_and_never_longer(micros in 0u64..400_000_000_000) {
            let time = Duration::from_micros(micros);
            let read = parse_grpc_timeout(&format_grpc_timeout(time)).expect("what is written is well formed");
            prop_assert!(read <= time);
            prop_assert!(time - read < Duration::from_secs(1));
            if micros < 100_000_000 {
                prop_assert_eq!(read, time);
            }
        }
    }
}
