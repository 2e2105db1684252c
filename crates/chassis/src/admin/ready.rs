//! `GET /readyz`: whether the process can serve, and if not, what it waits for.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use serde_json::json;

use super::{Answer, Asked, State, json};

pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    async move {
        state.built().await;
        answer(&state)
    }
    .boxed()
}

fn answer(state: &State) -> Answer {
    let pending = state.readiness.pending();
    if pending.is_empty() {
        json(StatusCode::OK, &json!({"status": "ready"}))
    } else {
        let body = json!({"status": "not ready", "waiting_for": pending});
        json(StatusCode::SERVICE_UNAVAILABLE, &body)
    }
}
