//! `GET /metrics`: everything in the registry, as Prometheus text.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use super::{Answer, Asked, State, body_of, text};

/// Encoded on a thread of its own, because collecting reads files and a probe must not wait for it.
pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    async move {
        state.built().await;
        match tokio::task::spawn_blocking(move || encode(&state.registry)).await {
            Ok(Ok(metrics)) => body_of(StatusCode::OK, TEXT_FORMAT, metrics),
            Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
    .boxed()
}

fn encode(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}
