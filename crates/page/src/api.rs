//! The traces for programs: `mesh trace` asks here.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use mesh_traces::{Stats, Summary};
use serde::Serialize;

use crate::{app::App, filter::Asked, mesh::Mesh, refusal::Refusal, trace};

#[derive(Serialize)]
struct Found {
    stats: Stats,
    traces: Vec<Summary>,
}

/// `GET /api/traces`
pub(crate) async fn traces<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let asked = asked.parse();
    let (filter, limit) = asked.map_err(|problems| Refusal::bad_request(problems.join("; ")))?;
    let found = Found {
        stats: app.store.stats(),
        traces: app.store.recent(&filter, limit),
    };
    Ok(Json(found).into_response())
}

/// `GET /api/traces/last`
pub(crate) async fn last<M: Mesh>(State(app): State<Arc<App<M>>>) -> Result<Response, Refusal> {
    let last = app.store.last();
    let last = last.ok_or_else(|| Refusal::not_found("there is no trace yet"))?;
    Ok(Json(last).into_response())
}

/// `GET /api/traces/{id}`
pub(crate) async fn trace<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let id = trace::parse(&id)?;
    let trace = app.store.get(id).ok_or_else(|| trace::unknown(id))?;
    Ok(Json(trace).into_response())
}
