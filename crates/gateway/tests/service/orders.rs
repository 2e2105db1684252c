//! Orders: idempotency, outcomes, and what becomes of the cart.

use http::Method;
use mesh_proto::orders::v1::{OrderStatus, PlaceOrderResponse, place_order_response::Outcome};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    fakes::{ORDER_ID, order, placed},
    shop::{Answer, Ask, Shop},
};

fn items() -> Value {
    json!({"items": [{"sku": "P-02", "quantity": 2}, {"sku": "P-01", "quantity": 1}], "payment_token": "tok_ok"})
}

fn from_cart() -> Value {
    json!({"payment_token": "tok_ok"})
}

impl Shop {
    async fn order_cart(&self, cookie: &str, key: &str) -> Answer {
        let ask = Ask::new(Method::POST, "/v1/orders").cookie(cookie).key(key);
        self.send(ask.json(&from_cart())).await
    }

    fn outcome(&self, outcome: Outcome, replayed: bool) {
        self.orders.place.answer(move |request| {
            Ok(PlaceOrderResponse {
                replayed,
                out_of_stock_skus: vec!["P-02".to_owned()],
                ..placed(outcome, request)
            })
        });
    }
}

#[tokio::test]
async fn a_paid_order_is_201_with_its_place() {
    let shop = Shop::open().await;
    let answer = shop.order("key-1", items()).await.expect(201);
    assert_eq!(
        answer.header("location"),
        Some(&*format!("/v1/orders/{ORDER_ID}"))
    );
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert!(
        answer.cookie().is_some(),
        "an order is in its session's list"
    );
    let eur = |amount: i64| json!({"currency": "EUR", "amount_minor": amount});
    let expected = json!({
        "id": ORDER_ID, "status": "confirmed",
        "items": [
            {"sku": "P-02", "quantity": 2, "unit_price": eur(1), "total": eur(2)},
            {"sku": "P-01", "quantity": 1, "unit_price": eur(1), "total": eur(1)},
        ],
        "total": eur(3), "created_at": "2023-11-14T22:13:20.000000Z", "updated_at": "2023-11-14T22:13:20.500000Z"
    });
    assert_eq!(answer.json(), expected);

    let asked = shop.orders.place.asked().pop().unwrap();
    assert_eq!(
        (&*asked.idempotency_key, &*asked.payment_token),
        ("key-1", "tok_ok")
    );
    let lines: Vec<_> = asked
        .lines
        .iter()
        .map(|line| (&*line.sku, line.quantity))
        .collect();
    assert_eq!(lines, [("P-02", 2), ("P-01", 1)]);
    assert_eq!(asked.fingerprint.len(), 32);
    let cookie = answer.cookie().unwrap().split_once('=').unwrap().1;
    assert!(
        asked.session.len() == 64 && asked.session != cookie,
        "orders never sees the cookie"
    );
}

#[tokio::test]
async fn each_outcome_has_its_status_and_says_when_it_is_replayed() {
    let shop = Shop::open().await;
    for (outcome, status) in [
        (Outcome::Confirmed, 201),
        (Outcome::Declined, 402),
        (Outcome::OutOfStock, 409),
    ] {
        for replayed in [false, true] {
            shop.outcome(outcome, replayed);
            let answer = shop.order("k", items()).await.expect(status);
            assert_eq!(
                answer.header("idempotent-replayed"),
                replayed.then_some("true"),
                "{status}"
            );
        }
    }
    shop.outcome(Outcome::Pending, false);
    let answer = shop.order("k", items()).await.expect(202);
    assert_eq!(
        answer.header("location"),
        Some(&*format!("/v1/orders/{ORDER_ID}"))
    );

    shop.outcome(Outcome::OutOfStock, false);
    let answer = shop.order("k", items()).await.expect(409);
    assert!(answer.json()["detail"].as_str().unwrap().contains("P-02"));
    assert_eq!(answer.header("retry-after"), None, "it is final");
}

#[tokio::test]
async fn the_fingerprint_is_of_the_json_and_for_a_cart_of_the_session() {
    let shop = Shop::open().await;
    shop.order("k", items()).await.expect(201);
    let spaced = r#"{ "payment_token": "tok_ok", "items": [{"quantity":2,"sku":"P-02"},{"sku":"P-01","quantity":1}]}"#;
    let ask = Ask::new(Method::POST, "/v1/orders")
        .key("k")
        .said_json(spaced);
    shop.send(ask).await.expect(201);
    let asked = shop.orders.place.asked();
    assert_eq!(asked[0].fingerprint, asked[1].fingerprint);
    assert_ne!(asked[0].session, asked[1].session);

    let (one, two) = (
        shop.filled_cart("P-01", 1).await,
        shop.filled_cart("P-01", 1).await,
    );
    shop.order_cart(&one, "k").await.expect(201);
    shop.order_cart(&one, "k").await.expect(422);
    shop.order_cart(&two, "k").await.expect(201);
    let asked = shop.orders.place.asked();
    assert_eq!(
        asked[2].fingerprint, asked[3].fingerprint,
        "although the cart is empty now"
    );
    assert!(asked[3].lines.is_empty());
    assert_ne!(asked[2].fingerprint, asked[4].fingerprint);
}

#[tokio::test]
async fn an_ordered_cart_is_emptied_and_a_declined_one_is_not() {
    let shop = Shop::open().await;
    for (outcome, status, left) in [
        (Outcome::Confirmed, 201, 0),
        (Outcome::Pending, 202, 0),
        (Outcome::Declined, 402, 1),
        (Outcome::OutOfStock, 409, 1),
    ] {
        let cookie = shop.filled_cart("P-03", 4).await;
        shop.outcome(outcome, false);
        shop.order_cart(&cookie, "k").await.expect(status);
        let items = shop.cart(&cookie).await["items"].as_array().unwrap().len();
        assert_eq!(items, left, "{status}");
    }
}

#[tokio::test]
async fn naming_the_items_leaves_the_cart_alone() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-02", 2).await;
    let body = json!({"items": [{"sku": "P-02", "quantity": 2}], "payment_token": "tok_ok"});
    let ask = Ask::new(Method::POST, "/v1/orders")
        .cookie(&cookie)
        .key("k")
        .json(&body);
    let answer = shop.send(ask).await.expect(201);
    assert_eq!(answer.cookie(), None);
    assert_eq!(
        shop.cart(&cookie).await["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_replayed_order_does_not_empty_a_cart_filled_since() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-03", 4).await;
    let ordered = order(&[mesh_proto::orders::v1::Line {
        sku: "P-03".to_owned(),
        quantity: 4,
    }]);
    shop.orders.place.answer(move |_| {
        Ok(PlaceOrderResponse {
            outcome: Outcome::Confirmed.into(),
            order: Some(ordered.clone()),
            replayed: true,
            ..Default::default()
        })
    });
    let ask = Ask::new(Method::PUT, "/v1/cart/items/P-09").cookie(&cookie);
    shop.send(ask.json(&json!({"quantity": 1})))
        .await
        .expect(200);
    let answer = shop.order_cart(&cookie, "k").await.expect(201);
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        shop.cart(&cookie).await["items"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_cart_that_changes_while_it_is_ordered_stays() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-03", 4).await;
    let held = shop.orders.place.hold().await;
    let change = async {
        shop.orders.place.asked_at_least(1).await;
        let ask = Ask::new(Method::PUT, "/v1/cart/items/P-09").cookie(&cookie);
        shop.send(ask.json(&json!({"quantity": 1})))
            .await
            .expect(200);
        drop(held);
    };
    let (placed, ()) = tokio::join!(shop.order_cart(&cookie, "k"), change);
    placed.expect(201);
    assert_eq!(
        shop.cart(&cookie).await["items"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn the_example_of_the_document_can_be_ordered() {
    let shop = Shop::open().await;
    let post = &shop.document()["paths"]["/v1/orders"]["post"];
    let key = post["parameters"][0]["example"].as_str().unwrap();
    let body = shop.document()["components"]["schemas"]["PlaceOrder"]["example"].clone();
    shop.order(key, body).await.expect(201);
}

#[tokio::test]
async fn the_key_is_one_header_of_visible_ascii() {
    let shop = Shop::open().await;
    let ask = || Ask::new(Method::POST, "/v1/orders").json(&items());
    shop.send(ask()).await.expect(400);
    shop.send(ask().key("a").key("a")).await.expect(400);
    for key in ["", "a b", "a\tb", &"k".repeat(256)] {
        shop.send(ask().key(key)).await.expect(400);
    }
    shop.send(ask().header("idempotency-key", b"\xe9"))
        .await
        .expect(400);
    assert!(shop.orders.place.asked().is_empty());
    shop.send(ask().key(&"~".repeat(255))).await.expect(201);
}

#[tokio::test]
async fn an_empty_cart_is_for_orders_to_judge() {
    let shop = Shop::open().await;
    let answer = shop.order("k", from_cart()).await.expect(422);
    assert_eq!(answer.json()["detail"], "the cart is empty");
    assert_eq!(
        shop.orders.place.asked().len(),
        1,
        "the key may be known already"
    );
}

#[tokio::test]
async fn what_orders_refuses_is_told_in_its_words() {
    let shop = Shop::open().await;
    shop.orders
        .place
        .answer(|_| Err(Status::invalid_argument("unknown payment token")));
    let answer = shop.order("k", items()).await.expect(422);
    assert_eq!(answer.json()["detail"], "unknown payment token");
    shop.orders
        .place
        .answer(|_| Err(Status::aborted("secret of orders")));
    let answer = shop.order("k", items()).await.expect(409);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.json()["detail"].as_str().unwrap().contains("secret"));
}

#[tokio::test]
async fn an_order_is_shown_and_cancelled_by_its_id() {
    let shop = Shop::open().await;
    let path = format!("/v1/orders/{ORDER_ID}");
    for (proto, status) in [
        (OrderStatus::Pending, "pending"),
        (OrderStatus::Confirmed, "confirmed"),
        (OrderStatus::Fulfilled, "fulfilled"),
        (OrderStatus::Cancelled, "cancelled"),
        (OrderStatus::Failed, "failed"),
    ] {
        shop.orders.get.answer(move |_| {
            let mut order = order(&[]);
            order.status = proto.into();
            Ok(mesh_proto::orders::v1::GetOrderResponse { order: Some(order) })
        });
        assert_eq!(shop.get(&path).await.expect(200).json()["status"], status);
    }
    let upper = format!("/v1/orders/{}", ORDER_ID.to_uppercase());
    shop.get(&upper).await.expect(200);
    assert!(
        shop.orders
            .get
            .asked()
            .iter()
            .all(|asked| asked.id == ORDER_ID)
    );

    let cancel = Ask::new(Method::POST, &format!("{path}/cancel"));
    assert_eq!(shop.send(cancel).await.expect(200).json()["id"], ORDER_ID);
}

#[tokio::test]
async fn what_is_no_id_is_404_and_nobody_is_asked() {
    let shop = Shop::open().await;
    for id in ["1", "%ff", "nil", &"0".repeat(32), &"0".repeat(4000)] {
        shop.get(&format!("/v1/orders/{id}")).await.expect(404);
        shop.send(Ask::new(Method::POST, &format!("/v1/orders/{id}/cancel")))
            .await
            .expect(404);
    }
    assert!(shop.orders.get.asked().is_empty() && shop.orders.cancel.asked().is_empty());
}

#[tokio::test]
async fn orders_are_listed_by_session() {
    let shop = Shop::open().await;
    let placed = shop.order("k", items()).await.expect(201);
    let ask = Ask::new(Method::GET, "/v1/orders?page_size=7&page_token=t")
        .cookie(placed.cookie().unwrap());
    let page = shop.send(ask).await.expect(200).json();
    assert_eq!(page["orders"][0]["id"], ORDER_ID);
    assert!(page.get("next_page_token").is_none());
    let (asked, placed) = (
        shop.orders.list.asked().pop().unwrap(),
        shop.orders.place.asked().pop().unwrap(),
    );
    assert_eq!(asked.session, placed.session);
    assert_eq!((asked.page_size, &*asked.page_token), (7, "t"));
}
