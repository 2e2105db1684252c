//! What is answered instead of a view: a page for people, a problem for programs.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use maud::html;
use serde_json::json;

use crate::{
    app::App,
    layout::{self, View},
    mesh::Mesh,
};

/// Why there is no view. Whoever renders the answer finds it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    /// What the router itself refuses; its own words are for programmers.
    fn of_router(status: StatusCode) -> Self {
        let detail = match status {
            StatusCode::NOT_FOUND => "there is no such page",
            StatusCode::METHOD_NOT_ALLOWED => "this is not done with that method",
            StatusCode::BAD_REQUEST => "the address is none of the page's",
            _ => "this cannot be answered",
        };
        Self::new(status, detail)
    }

    fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Refused")
    }

    fn problem(&self) -> String {
        let Self { status, detail } = self;
        let (status, title) = (status.as_u16(), self.title());
        json!({"type": "about:blank", "title": title, "status": status, "detail": detail})
            .to_string()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every refusal its words, in the language of who asked.
pub(crate) async fn layer<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let status = response.status();
    let told = response.extensions_mut().remove::<Refusal>();
    let is_page = |value: &HeaderValue| value.as_bytes().starts_with(b"text/html");
    let unexplained = (status.is_client_error() || status.is_server_error())
        && !response.headers().get(CONTENT_TYPE).is_some_and(is_page);
    let Some(refusal) = told.or_else(|| unexplained.then(|| Refusal::of_router(status))) else {
        return response;
    };
    let answer = if is_api {
        let headers = [(CONTENT_TYPE, "application/problem+json")];
        (status, headers, refusal.problem()).into_response()
    } else {
        (status, Html(page(&app, &refusal))).into_response()
    };
    // The router says which methods it allows.
    let (mut parts, _) = response.into_parts();
    let (own, body) = answer.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(own.headers);
    Response::from_parts(parts, body)
}

fn page<M>(app: &App<M>, refusal: &Refusal) -> String {
    let main = html! {
        h1 { (refusal.title()) }
        p class="lead" role="alert" { (refusal.detail) "." }
        p { a href="/" { "Back to the map" } }
    };
    layout::page(app, View::None, refusal.title(), &main)
}
