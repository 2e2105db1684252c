//! One object of any kind.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// An object as it will reach the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The file or folder it came from.
    pub source: String,
    /// `group/version`, or the version alone.
    pub api_version: String,
    /// `Deployment`, …
    pub kind: String,
    /// None for what belongs to no namespace, and for what is given one when it is applied.
    pub namespace: Option<String>,
    /// Unique for its kind and namespace.
    pub name: String,
    /// All of it.
    pub body: Value,
}

impl Object {
    pub(crate) fn new(source: &str, body: Value) -> Result<Self, &'static str> {
        let text = |pointer: &str| {
            let value = body.pointer(pointer).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Self {
            source: source.to_owned(),
            api_version: text("/apiVersion").ok_or("apiVersion is missing")?,
            kind: text("/kind").ok_or("kind is missing")?,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").ok_or("metadata.name is missing")?,
            body,
        })
    }

    /// The field at a JSON pointer (`/spec/ports`), null when it is not there.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The items of the list at a JSON pointer; none when it is not there.
    pub fn list(&self, pointer: &str) -> impl Iterator<Item = &Value> {
        self.at(pointer).as_array().into_iter().flatten()
    }

    /// What a ConfigMap or Secret holds under a key, decoded.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<String> {
        let field = |part: &str| self.at(part).get(key).and_then(Value::as_str);
        if let Some(text) = field("/stringData") {
            return Some(text.to_owned());
        }
        let text = field("/data")?;
        if self.kind != "Secret" {
            return Some(text.to_owned());
        }
        // kustomize breaks long ones into lines.
        let text: String = text.split_whitespace().collect();
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    }

    /// Its `spec` as a type; fields that the type does not know are an error if the type says so.
    ///
    /// # Errors
    ///
    /// When the spec has another shape.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self.at("/spec")).map_err(|error| Error::Shape {
            object: self.to_string(),
            problem: format!("spec: {error}"),
        })
    }
}

/// `Deployment shop/orders (deploy/overlays/kind)`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{} ({})", self.name, self.source)
    }
}

#[cfg(test)]
mod tests {
    use crate::Manifests;

    #[test]
    fn entries_of_secrets_are_decoded() {
        let text = "
apiVersion: v1
kind: Secret
metadata: {name: a}
data: {one: aHR0cDovLw==, broken: '?'}
stringData: {two: plain}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {one: aHR0cDovLw==}
";
        let manifests = Manifests::parse("here", text).expect("two objects");
        let entry = |kind: &str, key: &str| manifests.get(kind, "a")?.entry(key);
        assert_eq!(entry("Secret", "one").as_deref(), Some("http://"));
        assert_eq!(entry("Secret", "two").as_deref(), Some("plain"));
        assert_eq!(
            (entry("Secret", "broken"), entry("Secret", "three")),
            (None, None)
        );
        assert_eq!(entry("ConfigMap", "one").as_deref(), Some("aHR0cDovLw=="));
    }
}
