//! How an HTTP interface says that something went wrong: `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use ::http::{
    HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    response::Parts,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use mesh_context::RequestContext;
use serde::Serialize;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error answer. Handlers return it as it is; request id and trace id are filled in on its way out.
///
/// ```
/// use http::StatusCode;
/// use mesh_chassis::server::Problem;
///
/// let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no session store").retry_after(1);
/// assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after: Option<u64>,
}

/// As it is written.
#[derive(Serialize)]
struct Written<'p> {
    #[serde(rename = "type")]
    kind: &'p str,
    title: &'p str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl Problem {
    /// Of no particular type (`about:blank`): the status says it all, `detail` is for people.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Of a type that callers can tell from others: a URI, and what it says in two or three words.
    #[must_use]
    pub fn of_type(
        self,
        kind: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: kind.into(),
            title: title.into(),
            ..self
        }
    }

    /// Asks the caller to come back in so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn json(&self, context: Option<&RequestContext>) -> Bytes {
        let written = Written {
            kind: &self.kind,
            title: &self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id: context.map(|context| context.request_id().as_str()),
            trace_id: context.map(|context| context.trace_id().to_string()),
        };
        let json = serde_json::to_vec(&written).expect("text and a number are JSON");
        Bytes::from(json)
    }

    fn write_head(&self, parts: &mut Parts) {
        parts.status = self.status;
        parts.headers.insert(CONTENT_TYPE, MEDIA_TYPE);
        if let Some(seconds) = self.retry_after {
            parts.headers.insert(RETRY_AFTER, seconds.into());
        }
    }
}

/// The body of an answer that is a problem, with the ids of its request; `None` for every other answer. An error answer
/// with nothing in it (the router's own 404 and 405) becomes a problem here.
pub(super) fn render(parts: &mut Parts, context: &RequestContext) -> Option<Bytes> {
    let said = parts.extensions.remove::<Problem>();
    let problem = match said {
        Some(problem) => problem,
        None if is_bare_error(parts) => Problem::new(parts.status, bare_detail(parts.status)),
        None => return None,
    };
    problem.write_head(parts);
    // The router has counted the body that is replaced.
    parts.headers.remove(CONTENT_LENGTH);
    Some(problem.json(Some(context)))
}

/// A problem as a whole answer.
pub(super) fn answer(problem: &Problem, context: &RequestContext) -> Response<Bytes> {
    let (mut parts, ()) = Response::new(()).into_parts();
    problem.write_head(&mut parts);
    Response::from_parts(parts, problem.json(Some(context)))
}

fn is_bare_error(parts: &Parts) -> bool {
    let error = parts.status.is_client_error() || parts.status.is_server_error();
    error && !parts.headers.contains_key(CONTENT_TYPE)
}

fn bare_detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is nothing at this path",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not answer this method",
        _ => "the request cannot be answered",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (mut parts, ()) = Response::new(()).into_parts();
        self.write_head(&mut parts);
        let body = Body::from(self.json(None));
        parts.extensions.insert(self);
        Response::from_parts(parts, body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::HeaderMap;
    use mesh_context::{Policy, accept};
    use serde_json::Value;

    use super::*;

    fn context() -> RequestContext {
        accept(&HeaderMap::new(), &Policy::inside(Duration::from_secs(1))).context
    }

    #[test]
    fn the_ids_of_the_request_are_filled_in() {
        let problem = Problem::new(StatusCode::CONFLICT, "out of stock")
            .of_type("/problems/out-of-stock", "Out of stock")
            .retry_after(3);
        let (mut parts, _body) = problem.into_response().into_parts();
        let context = context();
        let body = render(&mut parts, &context).unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(parts.status, StatusCode::CONFLICT);
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(parts.headers[RETRY_AFTER], "3");
        assert_eq!(json["type"], "/problems/out-of-stock");
        assert_eq!(json["title"], "Out of stock");
        assert_eq!(json["status"], 409);
        assert_eq!(json["detail"], "out of stock");
        assert_eq!(json["request_id"], context.request_id().as_str());
        assert_eq!(json["trace_id"], context.trace_id().to_string());
    }

    #[test]
    fn an_error_without_a_body_becomes_a_problem_and_keeps_its_headers() {
        let response = Response::builder()
            .status(405)
            .header("allow", "GET")
            .body(());
        let (mut parts, ()) = response.unwrap().into_parts();
        let body = render(&mut parts, &context()).unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["title"], "Method Not Allowed");
        assert_eq!(parts.headers["allow"], "GET");
    }

    #[test]
    fn other_answers_are_left_alone() {
        for (status, kind) in [(200, None), (404, Some("text/html")), (302, None)] {
            let mut response = Response::builder().status(status);
            if let Some(kind) = kind {
                response = response.header(CONTENT_TYPE, kind);
            }
            let (mut parts, ()) = response.body(()).unwrap().into_parts();
            assert!(render(&mut parts, &context()).is_none(), "{status}");
        }
    }
}
