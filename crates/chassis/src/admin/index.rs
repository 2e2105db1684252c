//! `GET /` and `GET /debug/pprof/`: the routes there are.

use std::{fmt::Write, future::ready, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use http::StatusCode;

use super::{Answer, Asked, ROUTES, State, text};

const PROFILES: &str = "/debug/pprof/";

pub(super) fn handle(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    ready(text(
        StatusCode::OK,
        format!("{}\n\n{}", state.name, list("/")),
    ))
    .boxed()
}

pub(super) fn profiles(_: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    ready(text(StatusCode::OK, list(PROFILES))).boxed()
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
