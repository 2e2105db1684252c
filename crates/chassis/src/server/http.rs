//! An HTTP interface behind the stack: an axum router and the list of its routes.

use std::{borrow::Cow, fmt};

use ::http::{Method, StatusCode, request::Parts};
use axum::{Router, extract::FromRequestParts};
use mesh_context::RequestContext;

use super::{problem::Problem, routes::Routes};
use crate::BoxError;

/// A router, and its routes once more as data: the stack has to know a request's route before the router is asked.
pub struct HttpInbound {
    router: Router,
    routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) method: Method,
    pub(super) pattern: Cow<'static, str>,
    pub(super) critical: bool,
}

impl HttpInbound {
    /// Answers with `router`. A route of it that is not among `routes` is answered, but counted as `unmatched`.
    pub fn new(router: Router, routes: Vec<Route>) -> Self {
        Self { router, routes }
    }

    pub(super) fn build(self) -> Result<(Router, Routes), BoxError> {
        Ok((self.router, Routes::http(self.routes)?))
    }
}

impl fmt::Debug for HttpInbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpInbound")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl Route {
    /// A route as axum writes it: `/v1/orders/{id}`.
    pub fn new(method: Method, pattern: impl Into<Cow<'static, str>>) -> Self {
        Self {
            method,
            pattern: pattern.into(),
            critical: false,
        }
    }

    /// Reads what exists already: a part of the process is kept for it when room is short.
    #[must_use]
    pub fn critical(self) -> Self {
        Self {
            critical: true,
            ..self
        }
    }
}

/// The request's context, for a handler.
#[derive(Debug, Clone)]
pub struct Context(pub RequestContext);

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let context = parts.extensions.get::<RequestContext>().cloned();
        context.map(Self).ok_or_else(|| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request has no context",
            )
        })
    }
}
