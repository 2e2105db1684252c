//! A set of objects that are applied together.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Error, Object, kustomize, yaml};

/// Objects in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests(Vec<Object>);

impl Manifests {
    /// Reads every document of a text; `source` is what errors call it. Keys that stand twice are refused.
    ///
    /// # Errors
    ///
    /// When it is not YAML, or holds something else than objects of Kubernetes.
    pub fn parse(source: &str, text: &str) -> Result<Self, Error> {
        let documents = yaml::documents(source, text)?.into_iter().enumerate();
        let objects = documents.map(|(index, body)| {
            Object::new(source, body).map_err(|problem| Error::NoObject {
                origin: source.to_owned(),
                document: index + 1,
                problem,
            })
        });
        Ok(Self(objects.collect::<Result<_, _>>()?))
    }

    /// What `kustomize build` makes of a folder.
    ///
    /// # Errors
    ///
    /// When there is no kustomize, when it refuses the folder, or when what it prints cannot be read.
    pub fn kustomize(folder: &Path) -> Result<Self, Error> {
        Self::parse(&folder.display().to_string(), &kustomize::build(folder)?)
    }

    /// What is in one file.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(path: &Path) -> Result<Self, Error> {
        Self::parse(&path.display().to_string(), &read(path)?)
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    /// All objects, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Object> {
        self.0.iter_mut()
    }

    /// The objects of a kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(move |object| object.kind == kind)
    }

    /// The first object of that kind and name.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<&Object> {
        self.of(kind).find(|object| object.name == name)
    }

    /// Applies another set over this one: an object of the same kind, namespace and name is replaced.
    pub fn put_over(&mut self, other: Self) {
        for object in other.0 {
            let same = |known: &&mut Object| {
                known.kind == object.kind
                    && known.namespace == object.namespace
                    && known.name == object.name
            };
            match self.0.iter_mut().find(same) {
                Some(known) => *known = object,
                None => self.0.push(object),
            }
        }
    }

    /// Keeps the objects that fulfil a condition.
    pub fn retain(&mut self, keep: impl FnMut(&Object) -> bool) {
        self.0.retain(keep);
    }
}

/// Every document of a YAML text that need not hold objects of Kubernetes, such as an entry of a ConfigMap; `source` is
/// what errors call it.
///
/// # Errors
///
/// When it is not YAML, or a key stands twice.
pub fn read_yaml(source: &str, text: &str) -> Result<Vec<Value>, Error> {
    yaml::documents(source, text)
}

/// Every document of a YAML file that need not hold objects of Kubernetes. Keys that stand twice are refused.
///
/// # Errors
///
/// When the file cannot be read or is not YAML.
pub fn documents(path: &Path) -> Result<Vec<Value>, Error> {
    yaml::documents(&path.display().to_string(), &read(path)?)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{name: grpc-orders, port: 50051}]}
---
# nothing
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

    #[test]
    fn objects_are_found_by_kind_and_name() {
        let manifests = Manifests::parse("here", TWO).expect("two objects");
        assert_eq!(manifests.iter().count(), 2);
        assert_eq!(manifests.of("Service").count(), 1);
        assert!(manifests.get("Service", "payments").is_none());
        let service = manifests.get("Service", "orders").expect("it is there");
        assert_eq!(service.to_string(), "Service shop/orders (here)");
        assert_eq!(service.list("/spec/ports").count(), 1);
        assert_eq!(service.at("/spec/ports/0/port"), 50051);
        assert!(service.at("/spec/nothing").is_null());
        let namespace = manifests.get("Namespace", "shop").expect("it is there");
        assert_eq!(namespace.to_string(), "Namespace shop (here)");
    }

    #[test]
    fn what_is_no_object_is_refused_by_its_number() {
        for (second, problem) in [
            ("kind: A\nmetadata: {name: a}", "apiVersion is missing"),
            ("apiVersion: v1\nmetadata: {name: a}", "kind is missing"),
            (
                "apiVersion: v1\nkind: A\nmetadata: {name: ''}",
                "metadata.name is missing",
            ),
        ] {
            let text = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\n---\n{second}\n");
            let error = Manifests::parse("here", &text).expect_err(problem);
            assert_eq!(error.to_string(), format!("here, document 2: {problem}"));
        }
    }
}
