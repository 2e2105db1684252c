//! What the customer hears when a peer fails: every gRPC code, answers that break the contract, and no answer at all.

use std::time::Duration;

use http::Method;
use mesh_proto::{inventory::v1 as inventory, orders::v1 as orders};
use serde_json::json;
use tonic::{Code, Status};

use super::{
    fakes::{ORDER_ID, catalogue, order},
    shop::{Answer, Ask, Shop},
};

const LIMIT: Duration = Duration::from_secs(5);

/// Makes an answer break the contract.
type Spoil<T> = fn(&mut T);

/// The RPCs, with what the proto says about codes that not all have.
const RPCS: [(&str, &[(Code, u16)]); 6] = [
    ("ListProducts", &[(Code::InvalidArgument, 400)]),
    ("GetProducts", &[(Code::InvalidArgument, 500)]),
    (
        "GetOrder",
        &[(Code::InvalidArgument, 404), (Code::NotFound, 404)],
    ),
    ("ListOrders", &[(Code::InvalidArgument, 400)]),
    (
        "PlaceOrder",
        &[
            (Code::InvalidArgument, 422),
            (Code::AlreadyExists, 422),
            (Code::Aborted, 409),
        ],
    ),
    (
        "CancelOrder",
        &[
            (Code::InvalidArgument, 404),
            (Code::NotFound, 404),
            (Code::Aborted, 409),
            (Code::FailedPrecondition, 409),
        ],
    ),
];

impl Shop {
    /// A request that makes this call.
    async fn provoke(&self, rpc: &str) -> Answer {
        match rpc {
            "ListProducts" => self.get("/v1/products").await,
            "GetProducts" => self.get("/v1/products/P-01").await,
            "GetOrder" => self.get(&format!("/v1/orders/{ORDER_ID}")).await,
            "ListOrders" => self.get("/v1/orders").await,
            "PlaceOrder" => {
                let items = json!([{"sku": "P-01", "quantity": 1}]);
                self.order("k", json!({"items": items, "payment_token": "tok_ok"}))
                    .await
            }
            "CancelOrder" => {
                let path = format!("/v1/orders/{ORDER_ID}/cancel");
                self.send(Ask::new(Method::POST, &path)).await
            }
            _ => unreachable!("{rpc}"),
        }
    }

    fn fail(&self, code: Code) {
        let status = move || Status::new(code, "internal: 10.0.0.7 said no");
        self.inventory.list.answer(move |_| Err(status()));
        self.inventory.get.answer(move |_| Err(status()));
        self.orders.place.answer(move |_| Err(status()));
        self.orders.get.answer(move |_| Err(status()));
        self.orders.list.answer(move |_| Err(status()));
        self.orders.cancel.answer(move |_| Err(status()));
    }
}

fn everywhere(code: Code) -> u16 {
    match code {
        Code::Unavailable | Code::ResourceExhausted => 503,
        Code::DeadlineExceeded => 504,
        _ => 502,
    }
}

#[tokio::test]
async fn every_code_of_every_call_has_its_status_and_nothing_leaks() {
    let shop = Shop::open().await;
    for code in (1..=16).map(Code::from) {
        shop.fail(code);
        for (rpc, named) in RPCS {
            let named = named.iter().find(|(known, _)| *known == code);
            let status = named.map_or(everywhere(code), |(_, status)| *status);
            let answer = shop.provoke(rpc).await;
            assert_eq!(answer.status, status, "{rpc}: {code:?}");
            let told = answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("10.0.0.7");
            let for_customers = rpc == "PlaceOrder" && code == Code::InvalidArgument;
            assert_eq!(told, for_customers, "{rpc}: {code:?}");
            let again = answer.header("retry-after").is_some();
            let worth = status == 503 || (status == 409 && code == Code::Aborted);
            assert_eq!(again, worth, "{rpc}: {code:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_503() {
    // Nothing listens on port 1.
    let away = "http://127.0.0.1:1";
    let shop = Shop::open_with(
        &[("MESH_ORDERS_URL", away), ("MESH_INVENTORY_URL", away)],
        LIMIT,
    )
    .await;
    for (rpc, _) in RPCS {
        shop.provoke(rpc).await.expect(503);
    }
}

#[tokio::test]
async fn no_answer_in_time_is_504() {
    let short = [
        ("MESH_ORDERS_TIMEOUT", "60ms"),
        ("MESH_INVENTORY_TIMEOUT", "60ms"),
    ];
    let shop = Shop::open_with(&short, LIMIT).await;
    let held = (
        shop.orders.get.hold().await,
        shop.inventory.get.hold().await,
    );
    shop.provoke("GetOrder").await.expect(504);
    shop.provoke("GetProducts").await.expect(504);
    drop(held);
}

#[tokio::test]
async fn too_little_time_for_a_call_is_504_and_the_call_is_not_made() {
    let shop = Shop::open_with(&[], Duration::from_millis(40)).await;
    shop.provoke("PlaceOrder").await.expect(504);
    assert!(shop.orders.place.asked().is_empty());
}

#[tokio::test]
async fn an_order_that_breaks_the_contract_is_502() {
    let good = || {
        order(&[orders::Line {
            sku: "P-01".to_owned(),
            quantity: 1,
        }])
    };
    let broken: [(&str, Spoil<orders::Order>); 10] = [
        ("id", |order| order.id = "7".to_owned()),
        ("no id", |order| order.id.clear()),
        ("status", |order| order.status = 0),
        ("unknown status", |order| order.status = 77),
        ("no total", |order| order.total = None),
        ("currency", |order| {
            order.total.as_mut().unwrap().currency = "euro".to_owned()
        }),
        ("created_at", |order| order.created_at_us = i64::MAX),
        ("quantity", |order| order.items[0].quantity = 0),
        ("no unit price", |order| order.items[0].unit_price = None),
        ("sku", |order| order.items[0].sku = String::new()),
    ];
    let shop = Shop::open().await;
    for (what, spoil) in broken {
        let mut order = good();
        spoil(&mut order);
        let (one, two) = (order.clone(), order.clone());
        shop.orders.get.answer(move |_| {
            Ok(orders::GetOrderResponse {
                order: Some(one.clone()),
            })
        });
        shop.orders.list.answer(move |_| {
            Ok(orders::ListOrdersResponse {
                orders: vec![two.clone()],
                ..Default::default()
            })
        });
        assert_eq!(shop.provoke("GetOrder").await.status, 502, "{what}");
        assert_eq!(shop.provoke("ListOrders").await.status, 502, "{what}");
    }
    shop.orders
        .get
        .answer(|_| Ok(orders::GetOrderResponse { order: None }));
    shop.provoke("GetOrder").await.expect(502);
    shop.orders
        .cancel
        .answer(|_| Ok(orders::CancelOrderResponse { order: None }));
    shop.provoke("CancelOrder").await.expect(502);
    for outcome in [0, 1, 2, 9] {
        shop.orders.place.answer(move |_| {
            Ok(orders::PlaceOrderResponse {
                outcome,
                ..Default::default()
            })
        });
        shop.provoke("PlaceOrder").await.expect(502);
    }
}

#[tokio::test]
async fn a_product_that_breaks_the_contract_is_502() {
    let broken: [Spoil<inventory::Product>; 3] = [
        |product| product.price = None,
        |product| product.price.as_mut().unwrap().currency.clear(),
        |product| product.sku.clear(),
    ];
    let shop = Shop::open().await;
    for spoil in broken {
        let mut product = catalogue()["P-01"].clone();
        spoil(&mut product);
        let products = vec![product];
        shop.inventory.get.answer({
            let products = products.clone();
            move |_| {
                Ok(inventory::GetProductsResponse {
                    products: products.clone(),
                })
            }
        });
        shop.inventory.list.answer(move |_| {
            Ok(inventory::ListProductsResponse {
                products: products.clone(),
                ..Default::default()
            })
        });
        shop.provoke("GetProducts").await.expect(502);
        shop.provoke("ListProducts").await.expect(502);
    }
}

#[tokio::test]
async fn the_cart_needs_prices_and_they_may_be_absurd_or_away() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-01", 1000).await;
    let cart = || Ask::new(Method::GET, "/v1/cart").cookie(&cookie);
    shop.inventory.get.answer(|_| {
        let mut product = catalogue()["P-01"].clone();
        product.price.as_mut().unwrap().amount_minor = i64::MAX;
        Ok(inventory::GetProductsResponse {
            products: vec![product],
        })
    });
    shop.send(cart()).await.expect(502);
    shop.fail(Code::Unavailable);
    shop.send(cart()).await.expect(503);
}
