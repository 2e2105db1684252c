//! Times for people.

use std::time::Duration;

/// `0.25 ms`, `12.3 ms`, `1.5 s`: three digits at most.
#[must_use]
pub fn readable(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    let (number, unit) = if millis >= 999.5 {
        (millis / 1e3, "s")
    } else {
        (millis, "ms")
    };
    let digits = match number {
        99.95.. => 0,
        9.995.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{number:.digits$}");
    format!("{} {unit}", without_zeros(&text))
}

/// `1.50` is `1.5`, `2.0` is `2`, `10` is `10`.
pub(crate) fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        for (micros, expected) in [
            (0, "0 ms"),
            (7, "0.007 ms"),
            (250, "0.25 ms"),
            (1_000, "1 ms"),
            (9_996, "10 ms"),
            (12_340, "12.3 ms"),
            (99_960, "100 ms"),
            (200_000, "200 ms"),
            (999_900, "1 s"),
            (1_500_000, "1.5 s"),
            (100_000_000, "100 s"),
        ] {
            assert_eq!(readable(Duration::from_micros(micros)), expected);
        }
    }
}
