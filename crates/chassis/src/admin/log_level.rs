//! `PUT /log-level`: other `RUST_LOG` directives until the process ends. From loopback only: who may read is not who may
//! change.

use http::StatusCode;

use super::{Answer, Asked, State, text};

pub(super) fn handle(state: &State, asked: &Asked) -> Answer {
    if !asked.peer.ip().to_canonical().is_loopback() {
        return text(StatusCode::FORBIDDEN, "only from loopback\n");
    }
    let changed = match std::str::from_utf8(&asked.body) {
        Ok(directives) => state.log_level.set(directives.trim()),
        Err(_) => Err("must be UTF-8".to_owned()),
    };
    match changed {
        Ok(()) => text(StatusCode::NO_CONTENT, ""),
        Err(reason) => text(StatusCode::BAD_REQUEST, format!("{reason}\n")),
    }
}
