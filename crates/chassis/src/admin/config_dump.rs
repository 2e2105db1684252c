//! `GET /config`: every setting by its variable's name, as `--check-config` prints it.

use std::{future::ready, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, Asked, State, json};

pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    let settings = state
        .settings
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)));
    ready(json(
        StatusCode::OK,
        &Value::Object(settings.collect::<Map<_, _>>()),
    ))
    .boxed()
}
