//! `GET /healthz`: whether the main runtime still turns. Nothing else: a restart mends nothing else.

use std::time::Duration;

use http::StatusCode;
use mesh_config::format_duration;
use serde_json::json;

use super::{Answer, Asked, State, json};

/// A heart that has not beaten for so long beats no more.
const STUCK: Duration = Duration::from_secs(10);

pub(super) fn handle(state: &State, _: &Asked) -> Answer {
    let age = state.heartbeat.age();
    if age < STUCK {
        json(StatusCode::OK, &json!({"status": "alive"}))
    } else {
        let body = json!({"status": "stuck", "last_heartbeat": format_duration(age)});
        json(StatusCode::SERVICE_UNAVAILABLE, &body)
    }
}
