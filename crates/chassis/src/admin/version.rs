//! `GET /version`: which build this is.

use std::{future::ready, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;
use serde_json::json;

use super::{Answer, Asked, State, json};
use crate::version::{REVISION, VERSION};

pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    let version = json!({"name": state.name, "version": VERSION, "git_sha": REVISION});
    ready(json(StatusCode::OK, &version)).boxed()
}
