//! Manifests made wrong, one field at a time, and what has to be found then.

use std::collections::BTreeSet;

use mesh_manifests::{Finding, Manifests, Object};
use serde_json::Value;

/// One field of one object, changed. A name that ends in `*` is the beginning of one, of an object that has the field.
#[derive(Debug)]
pub struct Mutation {
    /// Of the object.
    pub kind: &'static str,
    name: &'static str,
    pointer: &'static str,
    /// YAML; none removes the field.
    value: Option<&'static str>,
    /// Part of a finding that must be there.
    finding: &'static str,
}

/// Reads `kind name pointer[ = value] -> finding`, one a line; without a value the field is removed.
///
/// # Panics
///
/// When a line is something else.
#[must_use]
pub fn mutations(table: &'static str) -> Vec<Mutation> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let (change, finding) = line.split_once(" -> ").expect(line);
        let (field, value) = match change.split_once(" = ") {
            Some((field, value)) => (field, Some(value)),
            None => (change, None),
        };
        let words: Vec<_> = field.split(' ').collect();
        let [kind, name, pointer] = words[..] else {
            panic!("{line}")
        };
        Mutation {
            kind,
            name,
            pointer,
            value,
            finding,
        }
    });
    rows.collect()
}

impl Mutation {
    /// The set with this one thing wrong.
    ///
    /// # Panics
    ///
    /// When there is no such field.
    #[must_use]
    pub fn apply(&self, set: &Manifests) -> Manifests {
        let mut set = set.clone();
        let mut objects = set.iter_mut();
        let object = objects.find(|object| object.kind == self.kind && self.names(object));
        let object = object.unwrap_or_else(|| panic!("there is no {} {}", self.kind, self.name));
        let (parent, field) = self.pointer.rsplit_once('/').expect("a pointer");
        let field = field.replace("~1", "/");
        let parent = object.body.pointer_mut(parent);
        let parent =
            parent.unwrap_or_else(|| panic!("{} {} has no {}", self.kind, self.name, self.pointer));
        let value = self.value.map(|yaml| {
            let read = Manifests::parse(
                "here",
                &format!("{{apiVersion: v1, kind: A, metadata: {{name: a}}, v: {yaml}}}"),
            );
            let read = read.expect("the value is YAML");
            read.get("A", "a")
                .map_or(Value::Null, |object| object.at("/v").clone())
        });
        match (parent, value) {
            (Value::Object(fields), Some(value)) => {
                fields.insert(field, value);
            }
            (Value::Object(fields), None) => {
                fields
                    .remove(&field)
                    .unwrap_or_else(|| panic!("{} is not there", self.pointer));
            }
            (Value::Array(items), Some(value)) => {
                items[field.parse::<usize>().expect("an index")] = value;
            }
            (parent, _) => panic!("{}: {parent} has no fields", self.pointer),
        }
        // Name and version stand outside the body as well.
        for (pointer, copy) in [
            ("/metadata/name", &mut object.name),
            ("/apiVersion", &mut object.api_version),
        ] {
            object
                .body
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .clone_into(copy);
        }
        drop(objects);
        set
    }

    fn names(&self, object: &Object) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => {
                object.name.starts_with(beginning) && object.body.pointer(self.pointer).is_some()
            }
            None => object.name == self.name,
        }
    }

    /// What was found instead, when it was not found.
    #[must_use]
    pub fn missed(&self, findings: &BTreeSet<Finding>) -> Option<String> {
        let mut lines = findings.iter().map(ToString::to_string);
        if lines.any(|line| line.contains(self.finding)) {
            return None;
        }
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        let Self {
            kind,
            name,
            pointer,
            value,
            finding,
        } = self;
        Some(format!(
            "{kind} {name} {pointer} as {value:?}: {finding:?} is not among {lines:#?}"
        ))
    }
}
