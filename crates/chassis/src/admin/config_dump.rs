//! `GET /config`: every setting by its variable's name, as `--check-config` prints it.

use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, Asked, State, json};

pub(super) fn handle(state: &State, _: &Asked) -> Answer {
    let settings = state
        .settings
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)));
    let settings: Map<_, _> = settings.collect();
    json(StatusCode::OK, &Value::Object(settings))
}
