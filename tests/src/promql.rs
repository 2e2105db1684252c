//! What a query of Prometheus asks for: which series, by which labels. Whether it is valid, promtool says.

use std::collections::BTreeSet;

/// One selector of a query, and the labels that the query uses anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The name of the series.
    pub metric: String,
    /// Label, operator and value of each matcher.
    pub matchers: Vec<(String, String, String)>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Every selector.
    pub selectors: Vec<Selector>,
    /// Labels that are grouped or joined by.
    pub grouping: BTreeSet<String>,
}

/// Stand before a list of labels.
const GROUPING: [&str; 6] = [
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "on",
    "without",
];
/// Names of the language that are followed by no `(`.
const WORDS: [&str; 10] = [
    "and", "atan2", "bool", "end", "inf", "nan", "offset", "or", "start", "unless",
];
/// May have their labels between themselves and the `(`.
const AGGREGATIONS: [&str; 12] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];

impl Query {
    /// Takes a valid query apart.
    ///
    /// # Panics
    ///
    /// When it ends in the middle of something.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut query = Self {
            selectors: Vec::new(),
            grouping: BTreeSet::new(),
        };
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1).map_or("", String::as_str);
            match tokens[at].as_str() {
                word if GROUPING.contains(&word.to_lowercase().as_str()) && next == "(" => {
                    let end = at + position(&tokens[at..], ")");
                    let labels = tokens[at + 2..end].iter().filter(|token| *token != ",");
                    query.grouping.extend(labels.cloned());
                    at = end;
                }
                // A range, a step, an offset: durations, not names.
                "[" => at += position(&tokens[at..], "]"),
                word if is_name(word) && !called(word, next) => {
                    let end = if next == "{" {
                        at + position(&tokens[at..], "}")
                    } else {
                        at
                    };
                    let matchers = tokens.get(at + 2..end).unwrap_or_default();
                    query.selectors.push(Selector {
                        metric: word.to_owned(),
                        matchers: matchers
                            .split(|token| token == ",")
                            .filter_map(matcher)
                            .collect(),
                    });
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
        query
    }
}

/// A function, an aggregation or a word of the language.
fn called(word: &str, next: &str) -> bool {
    let word = word.to_lowercase();
    let aggregates = AGGREGATIONS.contains(&word.as_str()) && (next == "by" || next == "without");
    next == "(" || aggregates || WORDS.contains(&word.as_str()) || GROUPING.contains(&word.as_str())
}

fn matcher(tokens: &[String]) -> Option<(String, String, String)> {
    match tokens {
        [label, operator, value] => {
            let unquoted = value.get(1..value.len() - 1)?;
            Some((label.clone(), operator.clone(), unquoted.to_owned()))
        }
        _ => None,
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_' || letter == ':')
}

fn position(tokens: &[String], wanted: &str) -> usize {
    let found = tokens.iter().position(|token| token == wanted);
    found.unwrap_or_else(|| panic!("no {wanted} after {}", tokens.join(" ")))
}

/// Names, numbers with what hangs on them, strings, operators of one or two characters; no comments, no blanks.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => {
                rest = rest
                    .split_once('\n')
                    .map_or("", |(_, after)| after)
                    .trim_start();
                continue;
            }
            '"' | '\'' | '`' => string(rest, first),
            letter if letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.') => {
                let end = rest.find(|letter: char| {
                    !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.'))
                });
                end.unwrap_or(rest.len())
            }
            _ if ["=~", "!~", "!=", "==", ">=", "<="]
                .iter()
                .any(|operator| rest.starts_with(operator)) =>
            {
                2
            }
            other => other.len_utf8(),
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The length of a string with its quotes.
fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            letter if letter == quote => return index + 1,
            _ => {}
        }
    }
    panic!("a string without an end: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let query = Query::read(text);
        let selectors = query.selectors.iter().map(|selector| {
            let matchers = selector
                .matchers
                .iter()
                .map(|(label, operator, value)| format!("{label}{operator}{value}"));
            format!(
                "{}{{{}}}",
                selector.metric,
                matchers.collect::<Vec<_>>().join(";")
            )
        });
        (selectors.collect(), query.grouping.into_iter().collect())
    }

    #[test]
    fn selectors_and_labels_are_found_wherever_they_stand() {
        for (text, selectors, grouping) in [
            ("up", vec!["up{}"], vec![]),
            (
                "sum by (app) (rate(a_total[5m])) > 0.01 * sum(rate(b:c[5m] offset 1h)) by (app, le)",
                vec!["a_total{}", "b:c{}"],
                vec!["app", "le"],
            ),
            (
                "x{a=\"1\",b!~\"2|,}\\\"\"} == 1",
                vec!["x{a=1;b!~2|,}\\\"}"],
                vec![],
            ),
            (
                "sum without(pod)(x) / on (app) group_left (y) z and w unless v",
                vec!["x{}", "z{}", "w{}", "v{}"],
                vec!["app", "pod", "y"],
            ),
            (
                "max_over_time(rate(x[5m])[1h:1m]) # of x\n + 1e3 - Inf",
                vec!["x{}"],
                vec![],
            ),
            (
                "count(up{job='shop'} == 1) or vector(0)",
                vec!["up{job=shop}"],
                vec![],
            ),
            (
                "topk(3, x) > bool 5 and on () absent(y{a=~\"b\"})",
                vec!["x{}", "y{a=~b}"],
                vec![],
            ),
        ] {
            let found = read(text);
            let expected = (
                selectors.iter().map(ToString::to_string).collect(),
                grouping.iter().map(ToString::to_string).collect(),
            );
            assert_eq!(found, expected, "{text}");
        }
    }
}
