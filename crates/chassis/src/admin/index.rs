//! `GET /` and `GET /debug/pprof/`: the routes there are.

use std::fmt::Write;

use http::StatusCode;

use super::{Answer, Asked, ROUTES, State, text};

const PROFILES: &str = "/debug/pprof/";

pub(super) fn handle(state: &State, _: &Asked) -> Answer {
    text(StatusCode::OK, format!("{}\n\n{}", state.name, list("/")))
}

pub(super) fn profiles(_: &State, _: &Asked) -> Answer {
    text(StatusCode::OK, list(PROFILES))
}

/// The routes below `prefix`, one a line.
fn list(prefix: &str) -> String {
    let below = ROUTES.iter().filter(|route| route.path.starts_with(prefix));
    below.fold(String::new(), |mut list, route| {
        let _ = writeln!(
            list,
            "{:<4} {:<22} {}",
            route.method, route.path, route.about
        );
        list
    })
}
