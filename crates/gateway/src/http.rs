//! The HTTP interface: routes, and what is answered where there is none. Handlers translate; rules live in the domain.

use std::sync::Arc;

use axum::Router;
use mesh_chassis::server::Route;
use utoipa_axum::{router::OpenApiRouter, routes};

mod body;
mod cart;
mod docs;
mod orders;
mod paging;
mod path;
mod place_order;
mod products;
mod visitor;

pub(crate) use paging::Page;

use crate::{peers::Peers, session::Sessions};

/// What handlers need.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) peers: Peers,
    pub(crate) sessions: Arc<dyn Sessions>,
}

/// The router, and the routes it has: both, and the OpenAPI document, come from the same declarations.
pub(crate) fn router(app: App) -> (Router, Vec<Route>) {
    let (api, mut document) = OpenApiRouter::with_openapi(docs::preface())
        .routes(routes!(products::list))
        .routes(routes!(products::show))
        .routes(routes!(cart::show))
        .routes(routes!(cart::put, cart::remove))
        .routes(routes!(orders::place, orders::list))
        .routes(routes!(orders::show))
        .routes(routes!(orders::cancel))
        .split_for_parts();
    docs::complete(&mut document);
    let routes = docs::routes(&mut document);
    // Its 404 and 405 become problems in the chassis.
    let router = api.with_state(app).merge(docs::router(&document));
    (router, routes)
}

#[cfg(test)]
mod tests;
