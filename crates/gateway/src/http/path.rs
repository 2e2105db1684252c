//! Ids in the path. What cannot be one is not found, and nobody is asked.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::{error::Error, order::OrderId, product::Sku};

impl<S: Send + Sync> FromRequestParts<S> for Sku {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        only_parameter(parts, state, Self::parse)
            .await
            .ok_or(Error::NotFound("product"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrderId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        only_parameter(parts, state, Self::parse)
            .await
            .ok_or(Error::NotFound("order"))
    }
}

/// `None` also when it is not UTF-8 once its percents are decoded.
async fn only_parameter<S: Send + Sync, T>(
    parts: &mut Parts,
    state: &S,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let (_, value) = parameters.iter().next()?;
    parse(value)
}
