//! Figures as people read them: three digits and a unit.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// In place of what is not known.
pub(crate) const UNKNOWN: &str = "–";

/// `850 µs`, `4.21 ms`, `2.03 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = if seconds >= 0.999_5 {
        (seconds, "s")
    } else if seconds >= 0.000_999_5 {
        (seconds * 1e3, "ms")
    } else {
        (seconds * 1e6, "µs")
    };
    format!("{} {unit}", three_digits(value))
}

/// The same, for what may not be known.
pub(crate) fn maybe(value: Option<Duration>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), duration)
}

/// `12.3/s`.
pub(crate) fn rate(rate: f64) -> String {
    if !rate.is_finite() {
        return UNKNOWN.to_owned();
    }
    format!("{}/s", three_digits(rate))
}

/// `12,345`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{} {unit}", three_digits(value))
}

/// `20:31:05.123`, in UTC.
pub(crate) fn clock(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (hour, minute, second, milli) = at.to_hms_milli();
    format!("{hour:02}:{minute:02}:{second:02}.{milli:03}")
}

/// As many characters as there is room for.
pub(crate) fn cut(text: &str, room: usize) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(room).collect();
    if characters.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

fn three_digits(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        // More than 2^53 of anything is not seen here.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded and positive; a cast saturates"
        )]
        let whole = value.round() as u64;
        count(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_the_unit_that_fits() {
        for (nanos, expected) in [
            (0, "0 µs"),
            (850, "0.85 µs"),
            (850_000, "850 µs"),
            (999_600, "1.00 ms"),
            (4_211_000, "4.21 ms"),
            (42_110_000, "42.1 ms"),
            (421_100_000, "421 ms"),
            (999_600_000, "1.00 s"),
            (2_030_000_000, "2.03 s"),
            (1_234_500_000_000, "1,235 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn rates_counts_and_sizes_are_short() {
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(12.34), "12.3/s");
        assert_eq!(rate(1234.0), "1,234/s");
        assert_eq!(rate(f64::NAN), UNKNOWN);
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(bytes(5 << 40), "5,120 GiB");
    }

    #[test]
    fn times_are_those_of_the_day() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_000 + 3_723_004);
        assert_eq!(clock(at), "01:02:03.004");
    }

    #[test]
    fn a_text_is_cut_at_characters() {
        assert_eq!(cut("caffè", 5), "caffè");
        assert_eq!(cut("caffèlatte", 5), "caff…");
    }
}
