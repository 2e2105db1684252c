//! Every setting that was read, as it may be shown.

use std::collections::BTreeMap;

/// Names and shown values, ordered by name. What is secret has been hidden already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// The name and the shown value of each setting; one that has no value is shown empty.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(crate) fn insert(&mut self, name: &'static str, shown: String) {
        self.0.insert(name, shown);
    }
}
