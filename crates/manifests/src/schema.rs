//! The schemas of kinds: which fields an object may have and what their values look like.
//!
//! Strict: a field that a schema does not name is a finding, where the API server would drop it without a word. Two kinds
//! of schemas are read: Kubernetes' own, one set for each of its versions, and the definitions of custom resources. Of the
//! rules in CEL of the latter only that of durations is checked; `istioctl validate` and the API server check the rest.

mod load;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Finding, Object};

/// The schemas of every kind that one version of Kubernetes knows, with those of custom resources.
#[derive(Debug)]
pub struct Schemas {
    /// By `apiVersion` and `kind`.
    kinds: BTreeMap<(String, String), Kind>,
    /// What `$ref` leads to.
    definitions: Value,
}

#[derive(Debug)]
struct Kind {
    schema: Value,
    /// Of a custom resource: what is not named is unknown, without being said.
    custom: bool,
}

/// What the schemas of custom resources leave to the API server.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Schemas {
    /// Everything in an object that its schema does not allow.
    #[must_use]
    pub fn check(&self, object: &Object) -> Vec<Finding> {
        let key = (object.api_version.clone(), object.kind.clone());
        let Some(kind) = self.kinds.get(&key) else {
            let problem = format!("no schema knows {} {}", object.api_version, object.kind);
            return vec![Finding::of(object, "", problem)];
        };
        let mut problems = Vec::new();
        if kind.custom {
            let mut body = object.body.clone();
            if let Value::Object(fields) = &mut body {
                let metadata = fields.remove("metadata").unwrap_or_default();
                fields.remove("apiVersion");
                fields.remove("kind");
                let schema = &self.definitions[METADATA];
                self.value(schema, false)
                    .check(&metadata, "metadata", &mut problems);
            }
            self.value(&kind.schema, true)
                .check(&body, "", &mut problems);
        } else {
            self.value(&kind.schema, false)
                .check(&object.body, "", &mut problems);
        }
        let findings = problems.into_iter();
        findings
            .map(|(field, problem)| Finding::of(object, field, problem))
            .collect()
    }

    fn value<'a>(&'a self, schema: &'a Value, custom: bool) -> rules::Rules<'a> {
        rules::Rules {
            schema,
            definitions: &self.definitions,
            custom,
        }
    }
}
