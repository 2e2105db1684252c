//! Where settings come from: the process's environment, or a map in tests.

use std::collections::BTreeMap;

/// A set of named values.
pub trait Source {
    /// The value of this name, if it has one.
    fn get(&self, name: &str) -> Option<String>;

    /// Every name that has a value.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Env;

impl Source for Env {
    /// What is not UTF-8 comes with replacement characters, so that its parser can refuse it.
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect()
    }
}

impl Source for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
