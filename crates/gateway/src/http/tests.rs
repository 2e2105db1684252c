//! What still works when the session store does not.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE},
};
use mesh_context::{Deadline, Policy, accept};
use tower::ServiceExt;

use super::{App, router};
use crate::{
    cart::Cart,
    config::Config,
    peers::Peers,
    session::{self, Answer, SessionName, Sessions, Versioned},
};

#[expect(
    dead_code,
    reason = "shared with the service tests, which use all of it"
)]
#[path = "../../tests/service/fakes.rs"]
mod fakes;

/// A store that is away.
#[derive(Debug)]
struct Away;

impl Away {
    fn answer<'a, T>() -> Answer<'a, T> {
        Box::pin(async { Err(session::Error::Away("connection refused".to_owned())) })
    }
}

impl Sessions for Away {
    fn create<'a>(&'a self, _: &'a SessionName, _: Deadline) -> Answer<'a, ()> {
        Self::answer()
    }

    fn find<'a>(&'a self, _: &'a SessionName, _: Deadline) -> Answer<'a, Option<Versioned>> {
        Self::answer()
    }

    fn replace<'a>(&'a self, _: &'a SessionName, _: u64, _: Cart, _: Deadline) -> Answer<'a, bool> {
        Self::answer()
    }
}

async fn ask(router: Router, request: &str, body: &'static str) -> http::Response<Body> {
    let (method, path) = request.split_once(' ').unwrap();
    let context = accept(&HeaderMap::new(), &Policy::inside(Duration::from_secs(5))).context;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", "k")
        .extension(context)
        .body(Body::from(body));
    router.oneshot(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn without_the_session_store_only_what_needs_it_is_503() {
    let orders = Arc::<fakes::Orders>::default();
    let url = fakes::serve(Arc::default(), Arc::clone(&orders)).await;
    let source = BTreeMap::from([
        ("MESH_ORDERS_URL".to_owned(), url.clone()),
        ("MESH_INVENTORY_URL".to_owned(), url),
    ]);
    let config = mesh_config::load::<Config>(&source).unwrap().config;
    let (router, _) = router(App {
        peers: Peers::new(&config, &prometheus::Registry::new()).unwrap(),
        sessions: Arc::new(Away),
    });
    let items = r#"{"items":[{"sku":"P-01","quantity":1}],"payment_token":"tok_ok"}"#;
    let order = format!("GET /v1/orders/{}", fakes::ORDER_ID);
    for (request, body, status) in [
        ("GET /v1/cart", "", 503),
        ("PUT /v1/cart/items/P-01", r#"{"quantity":1}"#, 503),
        ("DELETE /v1/cart/items/P-01", "", 503),
        ("GET /v1/orders", "", 503),
        ("POST /v1/orders", r#"{"payment_token":"tok_ok"}"#, 503),
        ("POST /v1/orders", items, 201),
        ("GET /v1/products", "", 200),
        (&order, "", 200),
    ] {
        let response = ask(router.clone(), request, body).await;
        assert_eq!(response.status(), status, "{request} {body}");
        let unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(
            response.headers().contains_key(RETRY_AFTER),
            unavailable,
            "{request}"
        );
        assert!(!response.headers().contains_key(SET_COOKIE), "{request}");
    }
    let asked = orders.place.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].session, "", "an order without a session");
}
