//! Texts in columns of a terminal: how wide they are, cut and padded to a width, and durations in few characters.

use std::time::Duration;

use crate::record::visible;

/// What the end of a cut text is.
const CUT: char = '…';

/// Ranges of characters that take two columns.
const WIDE: [(u32, u32); 9] = [
    (0x1100, 0x115f),
    (0x2e80, 0xa4cf),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f300, 0x1faff),
    (0x20000, 0x3fffd),
];

/// Ranges of characters that take none: they go with the one before.
const ATTACHED: [(u32, u32); 5] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x1ab0, 0x1aff),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
];

/// A stranger's text in one line that steers no terminal.
pub(crate) fn line(text: &str) -> String {
    visible(text).replace('\t', "\\t")
}

fn columns(c: char) -> usize {
    let is_in = |ranges: &[(u32, u32)]| {
        let found = ranges.iter().find(|(_, last)| u32::from(c) <= *last);
        found.is_some_and(|(first, _)| u32::from(c) >= *first)
    };
    if is_in(&ATTACHED) {
        0
    } else if is_in(&WIDE) {
        2
    } else {
        1
    }
}

/// How many columns it takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// As much of it as fits.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut room = most.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        match room.checked_sub(columns(c)) {
            Some(left) => room = left,
            None => break,
        }
        short.push(c);
    }
    if most > 0 {
        short.push(CUT);
    }
    short
}

/// Cut or filled up, so that the next column begins where it should.
pub(crate) fn left(text: &str, most: usize) -> String {
    let text = cut(text, most);
    let missing = most - width(&text);
    text + &" ".repeat(missing)
}

/// As [`left`], filled up in front.
pub(crate) fn right(text: &str, most: usize) -> String {
    let text = cut(text, most);
    " ".repeat(most - width(&text)) + &text
}

/// Three digits and a unit: `412 µs`, `38.2 ms`, `5.00 s`.
pub(crate) fn time(duration: Duration) -> String {
    let (number, unit) = match duration.as_nanos() {
        ..1_000_000 => return format!("{} µs", duration.as_micros()),
        1_000_000..1_000_000_000 => (duration.as_secs_f64() * 1e3, "ms"),
        1_000_000_000..1_000_000_000_000 => (duration.as_secs_f64(), "s"),
        _ => return format!("{} min", duration.as_secs() / 60),
    };
    let digits = match number {
        ..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_fitted_into_columns() {
        assert_eq!(left("orders", 8), "orders  ");
        assert_eq!(right("orders", 8), "  orders");
        assert_eq!(left("orders", 6), "orders");
        assert_eq!(left("orders", 5), "orde…");
        assert_eq!(right("orders", 1), "…");
        assert_eq!(left("orders", 0), "");
        assert_eq!(left("注文注文", 6), "注文… ", "two columns each");
        assert_eq!(left("注文", 4), "注文");
        assert_eq!(
            left("e\u{301}e\u{301}", 2),
            "e\u{301}e\u{301}",
            "accents of their own"
        );
        assert_eq!(line("a\tb\x1b[2J\n"), "a\\tb\\u{1b}[2J\\n");
        assert_eq!(line("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanos, text) in [
            (0, "0 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1.00 ms"),
            (9_994_999, "9.99 ms"),
            (9_999_999, "10.0 ms"),
            (38_249_000, "38.2 ms"),
            (412_000_000, "412 ms"),
            (5_000_000_000, "5.00 s"),
            (61_000_000_000, "61.0 s"),
            (3_600_000_000_000, "60 min"),
            (u64::MAX, "307445734 min"),
        ] {
            assert_eq!(time(Duration::from_nanos(nanos)), text);
        }
    }
}
