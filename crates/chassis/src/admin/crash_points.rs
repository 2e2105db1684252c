//! `GET /debug/crash-points` and `PUT /debug/crash-points/<name>`: only in builds for tests, and in no index.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use serde_json::{Value, json};

use super::{Answer, MAX_BODY, json, text};
use crate::crash_points::points;

pub(super) const PATH: &str = "/debug/crash-points";

/// Lists the points and how often each was passed; or arms one. The body says how many passes to let by first, none unless
/// it says so.
pub(super) async fn answer<B>(peer: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let (head, body) = request.into_parts();
    let name = head.uri.path().trim_start_matches(PATH);
    match (&head.method, name.strip_prefix('/')) {
        (&Method::GET, None) if name.is_empty() => json(StatusCode::OK, &list()),
        (&Method::PUT, Some(name)) => {
            if !peer.ip().to_canonical().is_loopback() {
                return text(StatusCode::FORBIDDEN, "only from loopback\n");
            }
            let body = Limited::new(body, MAX_BODY).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes);
            let let_by = body.ok().and_then(|body| let_by(&body));
            match let_by.map(|let_by| points::arm(name, let_by)) {
                Some(true) => text(StatusCode::NO_CONTENT, ""),
                Some(false) => text(StatusCode::NOT_FOUND, format!("no such point: {name}\n")),
                None => text(
                    StatusCode::BAD_REQUEST,
                    "the body is a number of passes, or empty\n",
                ),
            }
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "GET the list, or PUT to <name> in it\n",
        ),
    }
}

fn let_by(body: &[u8]) -> Option<u64> {
    match std::str::from_utf8(body).ok()?.trim() {
        "" => Some(0),
        number => number.parse().ok(),
    }
}

/// By name: passes, and the passes to let by of one that is armed.
fn list() -> Value {
    let points = points::all().into_iter();
    let shown = |(name, point): (&str, points::Point)| {
        let shown = json!({ "passes": point.passes, "armed": point.armed });
        (name.to_owned(), shown)
    };
    Value::Object(points.map(shown).collect())
}
