//! Which traces somebody asks for: the same words in the form, in the address and in the JSON.

use std::{fmt::Display, time::Duration};

use mesh_traces::Filter;
use serde::Deserialize;

/// As many as a page can be read of.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

/// As it was sent; an empty field of a form counts as absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    pub(crate) route: String,
    pub(crate) status: String,
    pub(crate) at_least: String,
    pub(crate) id: String,
    pub(crate) limit: String,
}

impl Asked {
    pub(crate) fn is_anything(&self) -> bool {
        let Self {
            route,
            status,
            at_least,
            id,
            limit,
        } = self;
        [route, status, at_least, id, limit]
            .iter()
            .any(|field| !field.trim().is_empty())
    }

    /// The filter and the limit, or what is wrong with each field.
    pub(crate) fn parse(&self) -> Result<(Filter, usize), Vec<String>> {
        let mut problems = Vec::new();
        let filter = Filter {
            route: given(&self.route).map(str::to_owned),
            status: read(&self.status, status, &mut problems),
            at_least: read(&self.at_least, duration, &mut problems),
            id: read(&self.id, id, &mut problems),
        };
        let limit = read(&self.limit, limit, &mut problems).unwrap_or(LIMIT);
        if problems.is_empty() {
            Ok((filter, limit))
        } else {
            Err(problems)
        }
    }
}

fn given(field: &str) -> Option<&str> {
    Some(field.trim()).filter(|text| !text.is_empty())
}

fn read<T>(
    field: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    problems: &mut Vec<String>,
) -> Option<T> {
    parse(given(field)?)
        .map_err(|problem| problems.push(problem))
        .ok()
}

fn status(text: &str) -> Result<String, String> {
    let is_number = |text: &str| matches!(text.parse(), Ok(100..=599u16)) && text.len() == 3;
    let lower = text.to_ascii_lowercase();
    let is_class = matches!(lower.as_bytes(), [b'1'..=b'5', b'x', b'x']);
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if is_class || lower == "error" {
        Ok(lower)
    } else if is_number(text) {
        Ok(text.to_owned())
    } else if is_name {
        Ok(text.to_ascii_uppercase())
    } else {
        Err(bad("status", text, "201, 5xx, error or UNAVAILABLE"))
    }
}

/// A number alone is milliseconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || bad("duration", text, "50, 50ms or 1.5s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => match text.strip_suffix('s') {
            Some(number) => (number, 1.0),
            None => (text, 1e-3),
        },
    };
    let number: f64 = number.trim_end().parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

fn id(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && text.len() <= 32 {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(bad("trace id", text, "up to 32 hex digits"))
    }
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| bad("limit", text, format!("1 to {MOST}")))
}

fn bad(what: &str, text: &str, expected: impl Display) -> String {
    let text = crate::figure::cut(text, 60);
    format!("{text:?} is no {what}: {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(field: fn(&mut Asked) -> &mut String, value: &str) -> Result<Filter, Vec<String>> {
        let mut asked = Asked::default();
        value.clone_into(field(&mut asked));
        asked.parse().map(|(filter, _)| filter)
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        let (filter, limit) = Asked::default().parse().unwrap();
        assert!(filter.route.is_none() && filter.status.is_none());
        assert!(filter.at_least.is_none() && filter.id.is_none());
        assert_eq!(limit, LIMIT);
        let blank = asked(|asked| &mut asked.at_least, "  ").unwrap();
        assert_eq!(blank.at_least, None);
    }

    #[test]
    fn durations_are_read_with_and_without_unit() {
        for (text, millis) in [("50", 50), ("50ms", 50), ("1.5s", 1500), ("2 s", 2000)] {
            let filter = asked(|asked| &mut asked.at_least, text).unwrap();
            assert_eq!(
                filter.at_least,
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["fast", "-1", "1m", "NaN", "inf", "1e300", "ms"] {
            assert!(asked(|asked| &mut asked.at_least, text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_are_numbers_classes_and_names() {
        for (text, expected) in [
            ("201", "201"),
            ("5XX", "5xx"),
            ("Error", "error"),
            ("unavailable", "UNAVAILABLE"),
        ] {
            let filter = asked(|asked| &mut asked.status, text).unwrap();
            assert_eq!(filter.status.as_deref(), Some(expected));
        }
        for text in ["6", "999", "6xx", "2 01", "<b>"] {
            assert!(asked(|asked| &mut asked.status, text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = Asked {
            route: "/v1".to_owned(),
            status: "?".to_owned(),
            at_least: "soon".to_owned(),
            id: "xyz".to_owned(),
            limit: "0".to_owned(),
        };
        let problems = wrong.parse().err().unwrap();
        let [status, at_least, id, limit] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert!(status.starts_with("\"?\" is no status: "));
        assert!(at_least.starts_with("\"soon\" is no duration: "));
        assert!(id.starts_with("\"xyz\" is no trace id: "));
        assert_eq!(limit, "\"0\" is no limit: 1 to 1000");
    }
}
