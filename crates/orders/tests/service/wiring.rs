//! The process as the chassis runs it, on its own: everything it needs is away.

use std::{collections::BTreeMap, time::Duration};

use mesh_chassis::{Process as _, testing::TestRuntime};
use mesh_messaging::testing::Place;
use mesh_orders::{Config, Orders};
use mesh_proto::orders::v1::{GetOrderRequest, orders_service_client::OrdersServiceClient};
use mesh_store::testing;
use tonic::{Code, transport::Endpoint};

use crate::world::{order, refused, until};

/// A configuration whose peers do not exist.
fn alone(store: &str, queue: &str) -> Config {
    let settings = [
        ("MESH_STORE_URL", store),
        ("MESH_QUEUE_URL", queue),
        ("MESH_INVENTORY_URL", "http://127.0.0.1:1"),
        ("MESH_PAYMENTS_URL", "http://127.0.0.1:1"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = BTreeMap::from(settings);
    mesh_config::load::<Config>(&settings).unwrap().config
}

#[tokio::test]
async fn it_starts_without_its_peers_and_says_what_it_cannot_do() {
    let (sqlite, test) = (testing::sqlite(), TestRuntime::new());
    let queue = Place::file();
    let inbound = Orders::build(alone(sqlite.url(), queue.url()), test.runtime()).unwrap();
    let addr = test.serve(inbound).await.unwrap();
    until("ready", async || {
        let pending = test.runtime().readiness().pending();
        pending.is_empty().then_some(()).ok_or(pending)
    })
    .await;
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
    let mut orders = OrdersServiceClient::new(endpoint.connect_lazy());

    let id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned();
    let answer = orders.get_order(GetOrderRequest { id }).await;
    assert_eq!(refused(answer).0, Code::NotFound);
    // The second try is not told that the first is still at work.
    for _ in 0..2 {
        let answer = orders.place_order(order("k", "tok_ok")).await;
        let (code, message) = refused(answer);
        assert_eq!(
            (code, message.as_str()),
            (Code::Unavailable, "inventory: no answer to work with")
        );
    }
}

#[test]
fn it_works_on_an_order_as_long_as_reserving_and_charging_may_take() {
    assert_eq!(
        Orders::DEFAULTS.request_timeout,
        Duration::from_millis(4_600)
    );
}
