//! The Prometheus text format, version 0.0.4, line by line.

use std::collections::BTreeMap;

/// By name.
pub(crate) type Labels = BTreeMap<String, String>;

/// As much of a line as stands in a message.
const SHOWN: usize = 80;

/// The text is not what Prometheus reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the Prometheus text format: {text:?}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// The beginning of the line.
    pub text: String,
}

impl ParseError {
    pub(crate) fn new(index: usize, line: &str) -> Self {
        Self {
            line: index + 1,
            text: line.chars().take(SHOWN).collect(),
        }
    }
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'t> {
    /// A comment, `# HELP …`, or nothing.
    Nothing,
    /// `# TYPE name kind`.
    Type(&'t str),
    Sample {
        name: &'t str,
        labels: Labels,
        value: f64,
    },
}

/// `None` for what is none of these.
pub(crate) fn line(line: &str) -> Option<Line<'_>> {
    let line = line.trim_matches(is_blank);
    if let Some(comment) = line.strip_prefix('#') {
        let mut words = comment.split(is_blank).filter(|word| !word.is_empty());
        return match (words.next(), words.next()) {
            (Some("TYPE"), name) => name.filter(|name| is_name(name)).map(Line::Type),
            _ => Some(Line::Nothing),
        };
    }
    if line.is_empty() {
        return Some(Line::Nothing);
    }
    sample(line)
}

/// `name{label="value"} 1.5 1700000000000`; labels and time may be missing.
fn sample(line: &str) -> Option<Line<'_>> {
    let end = line.find(|c| is_blank(c) || c == '{')?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let mut words = rest.split(is_blank).filter(|word| !word.is_empty());
    let value = words.next()?.parse().ok()?;
    let time_is_good = words.next().is_none_or(|time| time.parse::<i64>().is_ok());
    let good = is_name(name) && time_is_good && words.next().is_none();
    good.then_some(Line::Sample {
        name,
        labels,
        value,
    })
}

/// `a="x",b="y",}` and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(is_blank);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_end_matches(is_blank);
        let quoted = after.trim_start_matches(is_blank).strip_prefix('"')?;
        let (value, after) = quoted_value(quoted)?;
        let is_new = labels.insert(name.to_owned(), value).is_none();
        if !is_new || !is_name(name) || name.contains(':') {
            return None;
        }
        rest = after.trim_start_matches(is_blank);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Up to the closing quote; `\\`, `\"` and `\n` stand for what they say.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (_, '\\') => match letters.next()?.1 {
                'n' => value.push('\n'),
                letter @ ('\\' | '"') => value.push(letter),
                _ => return None,
            },
            (index, '"') => return Some((value, &text[index + 1..])),
            (_, letter) => value.push(letter),
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> (String, Vec<(String, String)>, f64) {
        match line(text) {
            Some(Line::Sample {
                name,
                labels,
                value,
            }) => (name.to_owned(), labels.into_iter().collect(), value),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn samples_are_read_as_the_format_has_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (text, labels, value) in [
            ("a 1", vec![], 1.0),
            ("a\t1.5e3 1700000000000", vec![], 1500.0),
            ("  a {} -0.5 -7 ", vec![], -0.5),
            ("a{b=\"c\"} +Inf", vec![pair("b", "c")], f64::INFINITY),
            (
                "a { b = \"} , \\\"\\\\\\n\" , c=\"\", } 2",
                vec![pair("b", "} , \"\\\n"), pair("c", "")],
                2.0,
            ),
        ] {
            assert_eq!(sample(text), ("a".to_owned(), labels, value), "{text}");
        }
        assert!(sample("a NaN").2.is_nan());
    }

    #[test]
    fn what_is_no_sample_is_told_from_what_says_nothing() {
        for text in ["", "  ", "#", "# HELP a b", "#TYPEa b", "# some words"] {
            assert_eq!(line(text), Some(Line::Nothing), "{text}");
        }
        assert_eq!(line("# TYPE a:b counter"), Some(Line::Type("a:b")));
        for text in [
            "a",
            "1a 1",
            "a{b=\"c\" 1",
            "a{b=c} 1",
            "a{b=\"c\"d=\"e\"} 1",
            "a{b=\"c\",b=\"d\"} 1",
            "a{b=\"\\x\"} 1",
            "a{b:c=\"d\"} 1",
            "a one",
            "a 1 2 3",
            "a 1 1.5",
            "ä 1",
            "{b=\"c\"} 1",
            "# TYPE",
            "# TYPE 1a counter",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }
}
