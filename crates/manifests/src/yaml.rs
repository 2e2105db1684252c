//! YAML as Kubernetes reads it, but strict about keys.

use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

use crate::Error;

/// Every document of a text that is not empty.
pub(crate) fn documents(origin: &str, text: &str) -> Result<Vec<Value>, Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        // `defaultMode: 0440` is octal there.
        legacy_octal_numbers: true,
        // Definitions of custom resources are far larger than what the budget against hostile documents allows.
        budget: None,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| Error::Yaml {
        origin: origin.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_the_api_server_takes_them_for() {
        let text = "a: 0440\nb: 'yes'\nc: yes\nd: 1.30\ne: \"1\"\n---\n---\n- 300m\n- null\n";
        let read = documents("here", text).expect("it is valid");
        let first = json!({ "a": 288, "b": "yes", "c": true, "d": 1.3, "e": "1" });
        assert_eq!(read, [first, json!(["300m", null])]);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        for text in ["a: 1\nb: 2\na: 3\n", "x:\n  - {a: 1, a: 1}\n"] {
            let error = documents("here", text).expect_err("a stands twice");
            let error = error.to_string();
            assert!(
                error.starts_with("here is not valid YAML: ") && error.contains('a'),
                "{error}"
            );
        }
        assert!(documents("here", "a: [1").is_err());
    }
}
