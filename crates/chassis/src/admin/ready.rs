//! `GET /readyz`: whether the process can serve, and if not, what it waits for.

use std::{future::ready, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use serde_json::json;

use super::{Answer, Asked, State, json};

pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    let pending = state.readiness.pending();
    ready(if pending.is_empty() {
        json(StatusCode::OK, &json!({"status": "ready"}))
    } else {
        json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"status": "not ready", "waiting_for": pending}),
        )
    })
    .boxed()
}
