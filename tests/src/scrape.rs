//! The Prometheus text format, read into something a test can ask.

use std::collections::{BTreeMap, BTreeSet};

/// What one process counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
    families: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads what `GET /metrics` answered.
    ///
    /// # Panics
    ///
    /// When it is not the text format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let families = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '));
        Self {
            families: families.map(|(name, _kind)| name.to_owned()).collect(),
            samples: text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(sample)
                .collect(),
        }
    }

    /// The sum of all samples of that name that carry these labels; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matching = self.samples.iter().filter(|sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|v| v == value)
            };
            sample.name == name && labels.iter().all(has)
        });
        matching.map(|sample| sample.value).sum()
    }

    /// The names of all metrics: a histogram counts once.
    #[must_use]
    pub fn families(&self) -> &BTreeSet<String> {
        &self.families
    }

    /// The names of the labels of a series, of a histogram's part too; none when there is no such series.
    #[must_use]
    pub fn series(&self, name: &str) -> Option<BTreeSet<&str>> {
        let mut samples = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .peekable();
        samples.peek()?;
        Some(
            samples
                .flat_map(|sample| sample.labels.keys())
                .map(String::as_str)
                .collect(),
        )
    }

    /// The names of the labels of a metric, `le` apart.
    #[must_use]
    pub fn labels(&self, family: &str) -> BTreeSet<&str> {
        let samples = self.samples.iter().filter(|sample| {
            let rest = sample.name.strip_prefix(family);
            rest.is_some_and(|rest| ["", "_bucket", "_count", "_sum"].contains(&rest))
        });
        samples
            .flat_map(|sample| sample.labels.keys())
            .map(String::as_str)
            .filter(|label| *label != "le")
            .collect()
    }
}

fn sample(line: &str) -> Sample {
    read_sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))
}

fn read_sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample {
        name: name.to_owned(),
        labels: read_labels(labels)?,
        value: value.parse().ok()?,
    })
}

/// `a="x",b="y"`, with `\"` and `\\` in values.
fn read_labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (_, '\\') => value.push(letters.next()?.1),
                (index, '"') => break index,
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = after[end + 1..].trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::Metrics;

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
        let metrics = Metrics::parse(TEXT);
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
        let bucket = metrics.series("seconds_bucket").expect("it is there");
        assert!(bucket.into_iter().eq(["le", "method"]));
        assert!(metrics.series("seconds").is_none());
    }
}
