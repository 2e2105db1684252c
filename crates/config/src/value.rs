//! Parsers of single values. Each refuses what it does not know with the reason and what is allowed.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

/// Units of a duration and how many nanoseconds each has.
const UNITS: [(&str, u128); 5] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// No setting is longer: deadlines are computed from these, and must not overflow a clock.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const DURATION_FORM: &str = "must be a number with a unit (us, ms, s, m, h), such as 250ms or 1.5s";

/// Reads `250ms`, `1.5s`, `2m`: a decimal number and a unit, at most 24 h.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .ok_or(DURATION_FORM)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, unit_nanos) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(DURATION_FORM)?;
    let nanos = scale(number, *unit_nanos).ok_or(DURATION_FORM)?;
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("must not be longer than 24h".to_owned()),
    }
}

/// `number` × `unit`; digits finer than one are cut off. None when it is not a decimal number.
fn scale(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut total = whole
        .parse::<u64>()
        .map_or(u128::MAX, |whole| u128::from(whole) * unit);
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.saturating_add(u128::from(digit - b'0') * place);
    }
    Some(total)
}

/// Writes a duration in the form that [`parse_duration`] reads, in the largest of s, ms and us that fits.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, size) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000_000 => UNITS[0],
        1_000_000..1_000_000_000 => UNITS[1],
        _ => UNITS[2],
    };
    let (whole, fraction) = (nanos / size, nanos % size);
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let places = size.ilog10() as usize;
    let fraction = format!("{fraction:0places$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

pub(crate) fn parse_count(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let number = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| match (*range.start(), *range.end()) {
            (0, u64::MAX) => "must be a whole number".to_owned(),
            (start, u64::MAX) => format!("must be a whole number, at least {start}"),
            (start, end) => format!("must be a whole number from {start} to {end}"),
        })
}

pub(crate) fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080".to_owned()
    })
}

pub(crate) fn parse_flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A URL of one of `schemes`; what follows the scheme is for the one who connects to judge.
pub(crate) fn parse_url(text: &str, schemes: &[&str]) -> Result<(), String> {
    match text.split_once(':') {
        Some((scheme, _)) if schemes.contains(&scheme) => Ok(()),
        _ => Err(format!(
            "must be a URL that starts with {}:",
            schemes.join(": or ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, expected) in [
            ("0s", Duration::ZERO),
            ("250us", Duration::from_micros(250)),
            ("250ms", Duration::from_millis(250)),
            ("4.6s", Duration::from_millis(4_600)),
            ("2m", Duration::from_secs(120)),
            ("24h", LONGEST),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in [
            "", "5", "0", "s", ".5s", "5.s", "-5s", "+5s", "5 s", " 5s", "5S", "5sec", "1m30s",
            "1..2s", "1_0s", "５s",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(DURATION_FORM.to_owned()),
                "{text}"
            );
        }
        for text in ["24.1h", "99999999999999999999999s", "18446744073709551615h"] {
            assert_eq!(
                parse_duration(text),
                Err("must not be longer than 24h".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        for text in [
            "0s", "1us", "0.001us", "250ms", "1.5ms", "4.6s", "5s", "86400s",
        ] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_secs(120)), "120s");
    }

    #[test]
    fn a_count_outside_its_range_names_the_range() {
        assert_eq!(parse_count("256", &(1..=1_000)), Ok(256));
        for text in [
            "0",
            "1001",
            "",
            "-1",
            "+1",
            "1.5",
            "many",
            "99999999999999999999",
        ] {
            assert_eq!(
                parse_count(text, &(1..=1_000)),
                Err("must be a whole number from 1 to 1000".to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            parse_count("0", &(1..=u64::MAX)),
            Err("must be a whole number, at least 1".to_owned())
        );
    }

    #[test]
    fn a_url_of_another_scheme_is_refused() {
        assert_eq!(parse_url("memory:", &["memory", "redis"]), Ok(()));
        assert_eq!(parse_url("redis://cache", &["memory", "redis"]), Ok(()));
        for text in ["", "cache:6379", "rediss://cache", "redis"] {
            assert_eq!(
                parse_url(text, &["memory", "redis"]),
                Err("must be a URL that starts with memory: or redis:".to_owned()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = parse_duration(&text);
            let _ = parse_count(&text, &(0..=u64::MAX));
            let _ = parse_addr(&text);
            let _ = parse_flag(&text);
            let _ = parse_url(&text, &["http"]);
            let _ = crate::secret::redact(&text);
        }

        #[test]
        fn numbers_with_any_unit_never_panic(number in "[0-9.]{0,40}", unit in "(us|ms|s|m|h)?") {
            let _ = parse_duration(&format!("{number}{unit}"));
        }

        #[test]
        fn durations_round_trip(nanos in 0..=86_400_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn counts_round_trip(count: u64) {
            prop_assert_eq!(parse_count(&count.to_string(), &(0..=u64::MAX)), Ok(count));
        }

        #[test]
        fn addresses_round_trip(ip: std::net::IpAddr, port: u16) {
            let addr = SocketAddr::new(ip, port);
            prop_assert_eq!(parse_addr(&addr.to_string()), Ok(addr));
        }

        #[test]
        fn a_password_never_shows(password in "[a-z0-9:/?#@]{0,20}NEVER[a-z0-9:/?#@]{0,20}") {
            let shown = crate::secret::redact(&format!("postgres://shop:{password}@db/shop"));
            prop_assert!(!shown.contains("NEVER"), "{}", shown);
        }
    }
}
