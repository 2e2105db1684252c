//! The keywords of a schema, as far as Kubernetes uses them; one that is not known here is a finding itself.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

/// Says nothing about what is allowed.
const SILENT: [&str; 9] = [
    "default",
    "description",
    "example",
    "format",
    "nullable",
    "title",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
];
/// Read together with another keyword, or only said for other tools.
const ELSEWHERE: [&str; 6] = [
    "additionalProperties",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-unions",
];
/// The one rule in CEL that is checked; it stands at every duration.
const DURATION: &str = "duration(self) >= duration('1ms')";

/// Field and problem.
pub(super) type Problems = Vec<(String, String)>;

/// A schema and what is needed to read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) schema: &'a Value,
    pub(super) definitions: &'a Value,
    pub(super) custom: bool,
}

impl<'a> Rules<'a> {
    /// Adds what is wrong with a value.
    pub(super) fn check(self, value: &Value, field: &str, problems: &mut Problems) {
        let Some(schema) = self.schema.as_object() else {
            problems.push((field.to_owned(), "its schema is none".to_owned()));
            return;
        };
        // What kubectl leaves out, the API server takes as not there.
        if value.is_null() && (schema.get("nullable") == Some(&true.into()) || !self.custom) {
            return;
        }
        for (keyword, argument) in schema {
            self.keyword(schema, keyword, argument, value, field, problems);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one keyword of one schema at one value"
    )]
    fn keyword(
        self,
        schema: &'a Map<String, Value>,
        keyword: &str,
        argument: &'a Value,
        value: &Value,
        field: &str,
        problems: &mut Problems,
    ) {
        let mut problem = |problem: String| problems.push((field.to_owned(), problem));
        match keyword {
            "$ref" => self.reference(argument, value, field, problems),
            "properties" => self.properties(schema, argument, value, field, problems),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    let field = format!("{field}[{index}]");
                    self.sub(argument).check(item, &field, problems);
                }
            }
            "additionalProperties"
                if argument.is_object() && !schema.contains_key("properties") =>
            {
                for (name, value) in value.as_object().into_iter().flatten() {
                    self.sub(argument)
                        .check(value, &join(field, name), problems);
                }
            }
            "required" => {
                let Some(fields) = value.as_object() else {
                    return;
                };
                for name in texts(argument).filter(|name| !fields.contains_key(*name)) {
                    problem(format!("{name} is missing"));
                }
            }
            "oneOf" | "anyOf" | "allOf" => {
                let all = argument.as_array().map_or(0, Vec::len);
                let fits = self.fits(argument, value, field);
                let wanted = match keyword {
                    "oneOf" => fits == 1,
                    "anyOf" => fits > 0,
                    _ => fits == all,
                };
                if !wanted {
                    problem(format!(
                        "fits {fits} of the {all} alternatives of {keyword}: {argument}"
                    ));
                }
            }
            "not" if self.sub(argument).accepts(value, field) => {
                problem(format!("must not be like {argument}"));
            }
            "x-kubernetes-list-type" => unique(schema, argument, value)
                .into_iter()
                .for_each(problem),
            "x-kubernetes-validations" => {
                for rule in argument.as_array().into_iter().flatten() {
                    let duration = value.as_str().map(mesh_config::parse_duration);
                    if let (true, Some(Err(why))) = (rule["rule"] == DURATION, duration) {
                        problem(format!("duration {value} {why}"));
                    }
                }
            }
            "not" => {}
            known if SILENT.contains(&known) || ELSEWHERE.contains(&known) => {}
            _ => plain(keyword, argument, schema, value)
                .into_iter()
                .for_each(problem),
        }
    }

    fn reference(self, argument: &Value, value: &Value, field: &str, problems: &mut Problems) {
        let name = argument
            .as_str()
            .and_then(|text| text.split("#/$defs/").nth(1));
        let schema = name.and_then(|name| self.definitions.get(name));
        match schema {
            Some(schema) => self.sub(schema).check(value, field, problems),
            None => problems.push((
                field.to_owned(),
                format!("its schema {argument} is missing"),
            )),
        }
    }

    fn properties(
        self,
        schema: &Map<String, Value>,
        known: &'a Value,
        value: &Value,
        field: &str,
        problems: &mut Problems,
    ) {
        let keeps = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
        let open = keeps("x-kubernetes-preserve-unknown-fields")
            || !self.custom && schema.get("additionalProperties") != Some(&Value::Bool(false));
        for (name, value) in value.as_object().into_iter().flatten() {
            let field = join(field, name);
            match known.get(name) {
                Some(schema) => self.sub(schema).check(value, &field, problems),
                None if open => {}
                None => problems.push((field, "unknown field".to_owned())),
            }
        }
    }

    fn sub(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    /// Whether a value is allowed. Part of an alternative, where unknown fields are the business of the whole.
    fn accepts(self, value: &Value, field: &str) -> bool {
        let mut problems = Vec::new();
        self.check(value, field, &mut problems);
        problems.retain(|(_, problem)| problem != "unknown field");
        problems.is_empty()
    }

    fn fits(self, alternatives: &'a Value, value: &Value, field: &str) -> usize {
        let alternatives = alternatives.as_array().into_iter().flatten();
        alternatives
            .filter(|schema| self.sub(schema).accepts(value, field))
            .count()
    }
}

/// Keywords about the value itself.
fn plain(
    keyword: &str,
    argument: &Value,
    schema: &Map<String, Value>,
    value: &Value,
) -> Option<String> {
    let limit = argument.as_f64();
    let (is, wanted) = match keyword {
        "type" if schema.get("x-kubernetes-int-or-string").is_none() => {
            let allowed = argument.as_str().into_iter().chain(texts(argument));
            (
                allowed.into_iter().any(|name| of_type(name, value)),
                "be of the type",
            )
        }
        "type" => (true, ""),
        "x-kubernetes-int-or-string" => (
            ["integer", "string"]
                .iter()
                .any(|name| of_type(name, value)),
            "be a number or a text:",
        ),
        "enum" => (
            argument
                .as_array()
                .is_some_and(|allowed| allowed.contains(value)),
            "be one of",
        ),
        "pattern" => {
            let pattern = argument
                .as_str()
                .and_then(|pattern| Regex::new(pattern).ok());
            let Some(pattern) = pattern else {
                return Some(format!("its schema's pattern {argument} cannot be read"));
            };
            (
                value.as_str().is_none_or(|text| pattern.is_match(text)),
                "match",
            )
        }
        "minimum" => (
            value
                .as_f64()
                .zip(limit)
                .is_none_or(|(is, limit)| is >= limit),
            "be at least",
        ),
        "maximum" => (
            value
                .as_f64()
                .zip(limit)
                .is_none_or(|(is, limit)| is <= limit),
            "be at most",
        ),
        _ => return size(keyword, argument, value),
    };
    (!is).then(|| format!("{value} must {wanted} {argument}"))
}

/// Keywords about how much a value is.
fn size(keyword: &str, argument: &Value, value: &Value) -> Option<String> {
    let length = value.as_str().map(|text| text.chars().count());
    let count = value.as_array().map(Vec::len);
    let fields = value.as_object().map(Map::len);
    let (is, what) = match keyword {
        "minLength" | "maxLength" => (length, "characters"),
        "minItems" | "maxItems" => (count, "items"),
        "minProperties" | "maxProperties" => (fields, "fields"),
        unknown => {
            return Some(format!(
                "its schema says {unknown}, which is not checked here"
            ));
        }
    };
    let (is, limit) = (is? as u64, argument.as_u64()?);
    let (fits, most) = if keyword.starts_with("min") {
        (is >= limit, "at least")
    } else {
        (is <= limit, "at most")
    };
    (!fits).then(|| format!("{value} must have {most} {limit} {what}"))
}

fn of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// Items of a `set` differ; items of a `map` differ in their keys.
fn unique(schema: &Map<String, Value>, kind: &Value, value: &Value) -> Option<String> {
    let items = value.as_array()?;
    let keys: Vec<_> = schema
        .get("x-kubernetes-list-map-keys")
        .map_or(Vec::new(), |keys| texts(keys).collect());
    let identity = |item: &Value| match kind.as_str() {
        Some("map") => keys
            .iter()
            .map(|key| item[key].to_string())
            .collect::<Vec<_>>(),
        _ => vec![item.to_string()],
    };
    if kind == "atomic" {
        return None;
    }
    let mut seen = BTreeSet::new();
    let twice = items
        .iter()
        .map(identity)
        .find(|item| !seen.insert(item.clone()))?;
    Some(format!("{} is there twice", twice.join(" ")))
}

fn join(field: &str, name: &str) -> String {
    if field.is_empty() {
        return name.to_owned();
    }
    format!("{field}.{name}")
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
