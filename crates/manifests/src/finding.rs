//! What is wrong with a manifest, said so that one can go there and mend it.

use std::fmt;

use crate::Object;

/// One problem of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Kind, namespace and name, and where the object came from.
    pub object: String,
    /// The field, such as `spec.ports[0].name`; empty when it is about the whole object.
    pub field: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl Finding {
    /// A problem of an object.
    #[must_use]
    pub fn of(object: &Object, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            object: object.to_string(),
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// `Service shop/orders (deploy/base): spec.ports[0].name: unknown field`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}
