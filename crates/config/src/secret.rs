//! A value that is used but never shown, and how a URL is shown without what is secret in it.

use std::fmt;

const HIDDEN: &str = "***";

/// A text that prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The text itself, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// `value` without credentials: of a URL, who logs in and every parameter that names a secret are hidden.
///
/// Everything up to the last `@` counts as credentials, so that a password with an unescaped
/// delimiter in it does not show.
pub(crate) fn redact(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let mut shown = format!("{scheme}://");
    let rest = match rest.rsplit_once('@') {
        Some((_, rest)) => {
            shown.push_str(HIDDEN);
            shown.push('@');
            rest
        }
        None => rest,
    };
    match rest.split_once('?') {
        Some((place, query)) => {
            let parameters: Vec<String> = query.split('&').map(redact_parameter).collect();
            shown.push_str(place);
            shown.push('?');
            shown.push_str(&parameters.join("&"));
        }
        None => shown.push_str(rest),
    }
    shown
}

fn redact_parameter(parameter: &str) -> String {
    let Some((key, _)) = parameter.split_once('=') else {
        return parameter.to_owned();
    };
    let lower = key.to_ascii_lowercase();
    if ["pass", "secret", "token", "key"]
        .iter()
        .any(|word| lower.contains(word))
    {
        format!("{key}={HIDDEN}")
    } else {
        parameter.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn credentials_in_a_url_are_hidden() {
        for (value, shown) in [
            (
                "postgres://shop:hunter2@db:5432/shop",
                "postgres://***@db:5432/shop",
            ),
            (
                "postgres://shop:hun/ter@2@db/shop",
                "postgres://***@db/shop",
            ),
            (
                "postgres://db/shop?password=hunter2&sslmode=require",
                "postgres://db/shop?password=***&sslmode=require",
            ),
            ("redis://:hunter2@cache", "redis://***@cache"),
            ("sqlite://.mesh/orders.db", "sqlite://.mesh/orders.db"),
            ("http://inventory:50051", "http://inventory:50051"),
            ("memory:", "memory:"),
            ("250ms", "250ms"),
        ] {
            assert_eq!(redact(value), shown);
        }
    }
}
