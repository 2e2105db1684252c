//! What one process counts, as it stood at one moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{self, Labels, Line, ParseError};

/// One scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// By name, then by labels.
    samples: BTreeMap<String, BTreeMap<Labels, f64>>,
    families: BTreeSet<String>,
}

impl Metrics {
    /// Reads what `GET /metrics` answered.
    ///
    /// # Errors
    ///
    /// When it is not the text format, or a series stands there twice.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut metrics = Self::default();
        for (index, line) in text.lines().enumerate() {
            let wrong = || ParseError::new(index, line);
            match text::line(line).ok_or_else(wrong)? {
                Line::Nothing => {}
                Line::Type(name) => {
                    metrics.families.insert(name.to_owned());
                }
                Line::Sample {
                    name,
                    labels,
                    value,
                } => {
                    let series = metrics.samples.entry(name.to_owned()).or_default();
                    if series.insert(labels, value).is_some() {
                        return Err(wrong());
                    }
                }
            }
        }
        Ok(metrics)
    }

    /// The sum of all samples of that name that carry these labels; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |found: &Labels| {
            let is_there = |(label, value): &(&str, &str)| {
                found.get(*label).is_some_and(|found| found == value)
            };
            labels.iter().all(is_there)
        };
        let matching = self.of(name).filter(|(found, _)| has(found));
        matching.map(|(_, value)| value).sum()
    }

    /// The names of all metrics: a histogram counts once.
    #[must_use]
    pub fn families(&self) -> &BTreeSet<String> {
        &self.families
    }

    /// The names of the labels of a series, of a histogram's part too; none when there is no such series.
    #[must_use]
    pub fn series(&self, name: &str) -> Option<BTreeSet<&str>> {
        let series = self.samples.get(name)?;
        Some(
            series
                .keys()
                .flat_map(Labels::keys)
                .map(String::as_str)
                .collect(),
        )
    }

    /// The names of the labels of a metric, `le` apart.
    #[must_use]
    pub fn labels(&self, family: &str) -> BTreeSet<&str> {
        let parts = ["", "_bucket", "_count", "_sum"].map(|part| format!("{family}{part}"));
        let names = parts.iter().filter_map(|name| self.series(name)).flatten();
        names.filter(|label| *label != "le").collect()
    }

    /// Every sample of that name.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let series = self.samples.get(name).into_iter().flatten();
        series.map(|(labels, value)| (labels, *value))
    }

    /// One sample.
    pub(crate) fn at(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.samples.get(name)?.get(labels).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"
# HELP requests_total All of them.
# TYPE requests_total counter
requests_total{route="/a,\"b\"",status="200"} 2
requests_total{route="/c",status="200"} 3
# TYPE seconds histogram
seconds_bucket{le="+Inf",method="GET"} 1
seconds_count{method="GET"} 1
"#;

    #[test]
    fn samples_are_added_up_by_their_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        for (labels, sum) in [
            (&[][..], 5.0),
            (&[("status", "200")], 5.0),
            (&[("status", "200"), ("route", "/a,\"b\"")], 2.0),
            (&[("status", "500")], 0.0),
        ] {
            let found = metrics.sum("requests_total", labels);
            assert!((found - sum).abs() < f64::EPSILON, "{labels:?}: {found}");
        }
        assert!(metrics.families().iter().eq(["requests_total", "seconds"]));
        assert!(metrics.labels("seconds").into_iter().eq(["method"]));
        let bucket = metrics.series("seconds_bucket").unwrap();
        assert!(bucket.into_iter().eq(["le", "method"]));
        assert!(metrics.series("seconds").is_none());
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let error = Metrics::parse("a 1\nb{ 2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 is not in the Prometheus text format: \"b{ 2\""
        );
        let twice = Metrics::parse("a{b=\"c\"} 1\na{ b=\"c\" } 2").unwrap_err();
        assert_eq!(twice.line, 2);
        let long = Metrics::parse(&"ä".repeat(10_000)).unwrap_err();
        assert_eq!(long.text.chars().count(), 80);
    }

    /// A label's value as the format writes it.
    fn escaped(value: &str) -> String {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        value.replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Metrics::parse(&text);
        }

        #[test]
        fn nothing_that_looks_like_metrics_makes_the_parser_panic(
            text in "([a-c#{}=\", \\\\\n\t0-9.+eInfNaTYPE]{0,12}\n?){0,6}"
        ) {
            let _ = Metrics::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(
            samples in proptest::collection::btree_map(
                ("[a-z_:][a-z0-9_:]{0,8}", proptest::collection::btree_map("[a-z_][a-z0-9_]{0,4}", "[^\r]{0,8}", 0..3)),
                any::<f64>().prop_filter("a number", |value| !value.is_nan()),
                0..8,
            )
        ) {
            let mut text = String::new();
            for ((name, labels), value) in &samples {
                let pairs: Vec<String> = labels
                    .iter()
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                writeln!(text, "{name}{{{}}} {value}", pairs.join(",")).unwrap();
            }
            let metrics = Metrics::parse(&text).unwrap();
            for ((name, labels), value) in &samples {
                prop_assert_eq!(metrics.at(name, labels), Some(*value));
            }
        }
    }
}
