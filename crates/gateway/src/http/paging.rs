//! `page_size` and `page_token`.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use utoipa::IntoParams;

use crate::error::Error;

/// Which page is asked for.
#[derive(Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many at most; more than 100 counts as 100.
    #[param(minimum = 1, default = 50, required = false)]
    pub(crate) page_size: i32,
    /// The `next_page_token` of the page before; without it the first page.
    #[param(required = false, min_length = 1)]
    pub(crate) page_token: String,
}

impl Page {
    const DEFAULT_SIZE: i32 = 50;
    const MAX_SIZE: i32 = 100;
    /// No token that we issue is longer.
    const MAX_TOKEN: usize = 512;

    fn of(query: Vec<(String, String)>) -> Result<Self, Error> {
        let (mut size, mut token) = (None, None);
        for (name, value) in query {
            let twice = match name.as_str() {
                "page_size" => size.replace(parse_size(&value)?).is_some(),
                "page_token" => token.replace(parse_token(value)?).is_some(),
                _ => false,
            };
            if twice {
                return Err(Error::BadRequest(format!("{name} is given twice")));
            }
        }
        Ok(Self {
            page_size: size.unwrap_or(Self::DEFAULT_SIZE),
            page_token: token.unwrap_or_default(),
        })
    }
}

/// Digits that are not all zero, however many.
fn parse_size(text: &str) -> Result<i32, Error> {
    let number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let positive = text.bytes().any(|digit| digit != b'0');
    if !(number && positive) {
        return Err(Error::BadRequest(
            "page_size is not a positive number".to_owned(),
        ));
    }
    // What does not fit is more than 100, too.
    Ok(text.parse().unwrap_or(i32::MAX).min(Page::MAX_SIZE))
}

fn parse_token(token: String) -> Result<String, Error> {
    let possible = (1..=Page::MAX_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    possible
        .then_some(token)
        .ok_or_else(Error::unknown_page_token)
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::BadRequest("the query cannot be read".to_owned()))?;
        Self::of(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &[(&str, &str)]) -> Result<Page, Error> {
        Page::of(
            query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn the_size_is_a_positive_number_up_to_a_hundred() {
        let sizes = [
            ("1", 1),
            ("007", 7),
            ("100", 100),
            ("101", 100),
            ("99999999999999999999999999999999", 100),
        ];
        for (text, size) in sizes {
            assert_eq!(
                page(&[("page_size", text)]).unwrap().page_size,
                size,
                "{text}"
            );
        }
        assert_eq!(page(&[]).unwrap().page_size, 50);
        for wrong in [
            "", "0", "000", "-1", "+1", " 1", "1.0", "1e2", "ten", "\u{661}",
        ] {
            assert!(page(&[("page_size", wrong)]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_given_twice_or_is_no_token_is_refused() {
        assert_eq!(
            page(&[("page_token", "abc"), ("other", "1")])
                .unwrap()
                .page_token,
            "abc"
        );
        assert!(page(&[("page_size", "1"), ("page_size", "1")]).is_err());
        assert!(page(&[("page_token", "a"), ("page_token", "a")]).is_err());
        for wrong in ["", "a b", "a\0", "\u{e9}", &"x".repeat(513)] {
            assert!(page(&[("page_token", wrong)]).is_err(), "{wrong:?}");
        }
    }
}
