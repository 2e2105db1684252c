//! Every route of the page, and what each request goes through.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header::CONTENT_TYPE};

use crate::{
    api, app::App, break_it, events, guard, headers, map, mesh::Mesh, refusal, refusal::Refusal,
    trace, traces, try_it,
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Our forms are a few hundred bytes.
const BODY: usize = 4 << 10;
/// To the start of an answer. An order takes the gateway 5 s at most.
const TIME: Duration = Duration::from_secs(20);

/// ```text
/// headers ─► guard ─► refusal ─► time limit ─► body limit ─► view
/// ```
pub(crate) fn router<M: Mesh>(app: Arc<App<M>>) -> Router {
    let views = Router::new()
        .route("/", get(map::show::<M>))
        .route("/traces", get(traces::show::<M>))
        .route("/traces/{id}", get(trace::show::<M>))
        .route("/try", get(try_it::show::<M>).post(try_it::place::<M>))
        .route("/try/{number}", get(try_it::answer::<M>))
        .route("/break", get(break_it::show::<M>))
        .route("/break/kill", post(break_it::kill::<M>))
        .route("/break/pause", post(break_it::pause::<M>))
        .route("/break/restart", post(break_it::restart::<M>))
        .route("/break/scale", post(break_it::scale::<M>))
        .route("/events", get(events::listen::<M>))
        .route("/api/traces", get(api::traces::<M>))
        .route("/api/traces/last", get(api::last::<M>))
        .route("/api/traces/{id}", get(api::trace::<M>))
        .route("/style.css", get(|| file("text/css", STYLE)))
        .route("/script.js", get(|| file("text/javascript", SCRIPT)))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(Arc::clone(&app), refusal::layer::<M>))
        .with_state(Arc::clone(&app));
    // Strangers learn neither what there is nor how it refuses: a router adds `Allow` to what its own layers answer.
    Router::new()
        .fallback_service(views)
        .layer(from_fn_with_state(app, guard::layer::<M>))
        .layer(map_response(headers::layer))
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(TIME, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        let detail = format!("there was no answer within {} s", TIME.as_secs());
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
    })
}
