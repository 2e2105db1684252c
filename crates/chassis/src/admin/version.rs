//! `GET /version`: which build this is.

use http::StatusCode;
use serde_json::json;

use super::{Answer, Asked, State, json};
use crate::version::{REVISION, VERSION};

pub(super) fn handle(state: &State, _: &Asked) -> Answer {
    let version = json!({"name": state.name, "version": VERSION, "git_sha": REVISION});
    json(StatusCode::OK, &version)
}
