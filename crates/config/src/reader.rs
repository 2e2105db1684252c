//! Reads values one by one, and remembers what was read and what was wrong.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, time::Duration};

use crate::{
    Problem, Secret, Settings, Source,
    secret::redact,
    value::{format_duration, parse_addr, parse_count, parse_duration, parse_flag, parse_url},
};

/// Collects every value and every problem. What is missing or bad falls back to its default.
///
/// A `MESH_` variable that is set but empty is a problem (a reference that did not resolve must not
/// silently mean the default); any other empty variable counts as unset, as OpenTelemetry says.
pub struct Reader<'s> {
    source: &'s dyn Source,
    settings: Settings,
    problems: Vec<Problem>,
}

impl<'s> Reader<'s> {
    /// Reads from `source`.
    pub fn new(source: &'s dyn Source) -> Self {
        Self {
            source,
            settings: Settings::default(),
            problems: Vec::new(),
        }
    }

    /// A duration with its unit: `250ms`, `5s`.
    pub fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        let value = self.typed(name, parse_duration).unwrap_or(default);
        self.settings.insert(name, format_duration(value));
        value
    }

    /// A whole number within `range`.
    pub fn count(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let value = self
            .typed(name, |text| parse_count(text, &range))
            .unwrap_or(default);
        self.settings.insert(name, value.to_string());
        value
    }

    /// An IP address and a port.
    pub fn addr(&mut self, name: &'static str, default: SocketAddr) -> SocketAddr {
        let value = self.typed(name, parse_addr).unwrap_or(default);
        self.settings.insert(name, value.to_string());
        value
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let value = self.typed(name, parse_flag).unwrap_or(default);
        self.settings.insert(name, value.to_string());
        value
    }

    /// Any text.
    pub fn text(&mut self, name: &'static str, default: &str) -> String {
        let value = self.raw(name).unwrap_or_else(|| default.to_owned());
        self.settings.insert(name, redact(&value));
        value
    }

    /// Any text, or nothing.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        let value = self.raw(name);
        self.settings
            .insert(name, value.as_deref().map(redact).unwrap_or_default());
        value
    }

    /// What `parse` makes of the value or of the default. `None` only after a problem was recorded.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name, default);
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.reject(name, &text, reason);
                None
            }
        }
    }

    /// A URL whose scheme (what stands before the first colon) is one of `schemes`; its credentials are never shown.
    pub fn secret_url(&mut self, name: &'static str, default: &str, schemes: &[&str]) -> Secret {
        let text = self.text(name, default);
        if let Err(reason) = parse_url(&text, schemes) {
            // Of what is no URL at all, nobody can tell which part is secret.
            let value = text.contains("://").then(|| redact(&text));
            self.problem(Problem {
                name: name.to_owned(),
                value,
                reason,
            });
        }
        Secret::new(text)
    }

    /// Records a problem that only the section can see, such as two values that do not go together.
    pub fn reject(&mut self, name: &'static str, value: &str, reason: impl Into<String>) {
        self.problem(Problem {
            name: name.to_owned(),
            value: Some(redact(value)),
            reason: reason.into(),
        });
    }

    /// One that several sections come upon is told once.
    fn problem(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(crate) fn finish(self) -> (Settings, Vec<Problem>) {
        (self.settings, self.problems)
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.raw(name)?;
        parse(&text)
            .map_err(|reason| self.reject(name, &text, reason))
            .ok()
    }

    fn raw(&mut self, name: &'static str) -> Option<String> {
        let value = self.source.get(name)?;
        if !value.is_empty() {
            return Some(value);
        }
        if name.starts_with("MESH_") {
            self.reject(name, "", "is empty; leave it out to have the default");
        }
        None
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("settings", &self.settings)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    fn lines(reader: Reader<'_>) -> Vec<String> {
        reader.finish().1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bad_value_is_recorded_and_the_default_stands() {
        let source = source("MESH_CONCURRENCY_LIMIT", "lots");
        let mut reader = Reader::new(&source);
        assert_eq!(reader.count("MESH_CONCURRENCY_LIMIT", 256, 1..=10_000), 256);
        assert_eq!(
            lines(reader),
            ["MESH_CONCURRENCY_LIMIT=\"lots\": must be a whole number from 1 to 10000"]
        );
    }

    #[test]
    fn a_problem_that_several_sections_come_upon_is_told_once() {
        let source = source("MESH_CONCURRENCY_LIMIT", "lots");
        let mut reader = Reader::new(&source);
        for _section in 0..2 {
            reader.count("MESH_CONCURRENCY_LIMIT", 256, 1..=10_000);
        }
        assert_eq!(lines(reader).len(), 1);
    }

    #[test]
    fn an_empty_value_is_a_problem_for_ours_and_unset_for_others() {
        let source = BTreeMap::from([
            ("MESH_DRAIN_DELAY".to_owned(), String::new()),
            ("RUST_LOG".to_owned(), String::new()),
        ]);
        let mut reader = Reader::new(&source);
        assert_eq!(
            reader.duration("MESH_DRAIN_DELAY", Duration::from_secs(5)),
            Duration::from_secs(5)
        );
        assert_eq!(reader.text("RUST_LOG", "info"), "info");
        assert_eq!(reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT"), None);
        assert_eq!(
            lines(reader),
            ["MESH_DRAIN_DELAY=\"\": is empty; leave it out to have the default"]
        );
    }

    #[test]
    fn a_secret_is_neither_shown_nor_reported() {
        let good = source("MESH_STORE_URL", "postgres://shop:hunter2@db/shop");
        let mut reader = Reader::new(&good);
        let secret = reader.secret_url(
            "MESH_STORE_URL",
            "sqlite://.mesh/orders.db",
            &["sqlite", "postgres"],
        );
        assert_eq!(secret.expose(), "postgres://shop:hunter2@db/shop");
        assert!(!format!("{reader:?}").contains("hunter2"));

        let bad = source("MESH_STORE_URL", "shop:hunter2@db/shop");
        let mut reader = Reader::new(&bad);
        reader.secret_url(
            "MESH_STORE_URL",
            "mysql://shop:hunter2@db",
            &["sqlite", "postgres"],
        );
        reader.secret_url(
            "MESH_SESSION_URL",
            "mysql://shop:hunter2@db",
            &["memory", "redis"],
        );
        assert_eq!(
            lines(reader),
            [
                "MESH_STORE_URL: must be a URL that starts with sqlite: or postgres:",
                "MESH_SESSION_URL=\"mysql://***@db\": must be a URL that starts with memory: or redis:",
            ]
        );
    }

    #[test]
    fn a_section_may_parse_and_reject_by_its_own_rules() {
        let source = source("MESH_INVENTORY_URL", "inventory");
        let mut reader = Reader::new(&source);
        let url: Option<u16> = reader.parsed("MESH_INVENTORY_URL", "1", |text| {
            text.parse().map_err(|_| "must be a number".to_owned())
        });
        assert_eq!(url, None);
        assert_eq!(
            reader.parsed("MESH_ORDERS_URL", "1", |text| text
                .parse::<u16>()
                .map_err(|e| e.to_string())),
            Some(1)
        );
        reader.reject(
            "MESH_DRAIN_TIMEOUT",
            "1s",
            "must be longer than MESH_DRAIN_DELAY",
        );
        assert_eq!(
            lines(reader),
            [
                "MESH_INVENTORY_URL=\"inventory\": must be a number",
                "MESH_DRAIN_TIMEOUT=\"1s\": must be longer than MESH_DRAIN_DELAY",
            ]
        );
    }
}
