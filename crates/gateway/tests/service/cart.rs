//! Carts and sessions.

use http::Method;
use serde_json::{Value, json};

use super::shop::{Answer, Ask, Shop};

impl Shop {
    async fn put(&self, cookie: &str, sku: &str, body: Value) -> Answer {
        let path = format!("/v1/cart/items/{sku}");
        self.send(Ask::new(Method::PUT, &path).cookie(cookie).json(&body))
            .await
    }

    async fn delete(&self, cookie: &str, sku: &str) -> Answer {
        let path = format!("/v1/cart/items/{sku}");
        self.send(Ask::new(Method::DELETE, &path).cookie(cookie))
            .await
    }

    pub(crate) async fn cart(&self, cookie: &str) -> Value {
        let answer = self
            .send(Ask::new(Method::GET, "/v1/cart").cookie(cookie))
            .await
            .expect(200);
        assert_eq!(answer.cookie(), None);
        answer.json()
    }

    /// The cookie of a new session with this in its cart.
    pub(crate) async fn filled_cart(&self, sku: &str, quantity: u32) -> String {
        let answer = self
            .put("", sku, json!({"quantity": quantity}))
            .await
            .expect(200);
        answer.cookie().unwrap().to_owned()
    }
}

fn eur(amount_minor: i64) -> Value {
    json!({"currency": "EUR", "amount_minor": amount_minor})
}

#[tokio::test]
async fn a_new_visitor_has_an_empty_cart_and_a_cookie() {
    let shop = Shop::open().await;
    let answer = shop.get("/v1/cart").await.expect(200);
    assert_eq!(answer.json(), json!({"items": [], "total": eur(0)}));
    let cookie = answer.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(pair.len(), "mesh_session=".len() + 64);
    assert_eq!(attributes, "Max-Age=86400; Path=/; HttpOnly; SameSite=Lax");
    assert!(
        shop.inventory.get.asked().is_empty(),
        "there is nothing to ask for"
    );
}

#[tokio::test]
async fn every_change_answers_with_the_whole_priced_cart() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-20", 3).await;
    let cart = shop
        .put(&cookie, "P-05", json!({"quantity": 2}))
        .await
        .expect(200)
        .json();
    let expected = json!({
        "items": [
            {"sku": "P-05", "quantity": 2, "unit_price": eur(5), "total": eur(10)},
            {"sku": "P-20", "quantity": 3, "unit_price": eur(20), "total": eur(60)},
        ],
        "total": eur(70)
    });
    assert_eq!(cart, expected);
    assert_eq!(shop.cart(&cookie).await, expected);

    let cart = shop
        .put(&cookie, "P-05", json!({"quantity": 1000}))
        .await
        .expect(200)
        .json();
    assert_eq!(cart["total"], eur(5060));
    let cart = shop.delete(&cookie, "P-20").await.expect(200).json();
    assert_eq!(cart["items"].as_array().unwrap().len(), 1);
    let same = shop.delete(&cookie, "P-20").await.expect(200).json();
    assert_eq!(same, cart, "what is not in the cart can be taken out");
}

#[tokio::test]
async fn carts_are_apart_and_a_foreign_cookie_is_not_adopted() {
    let shop = Shop::open().await;
    let (one, two) = (
        shop.filled_cart("P-01", 1).await,
        shop.filled_cart("P-02", 1).await,
    );
    assert_ne!(one, two);
    assert_eq!(shop.cart(&one).await["items"][0]["sku"], "P-01");
    assert_eq!(shop.cart(&two).await["items"][0]["sku"], "P-02");

    let foreign = format!("mesh_session={}", "a".repeat(64));
    let answer = shop
        .send(Ask::new(Method::GET, "/v1/cart").cookie(&foreign))
        .await
        .expect(200);
    assert!(answer.cookie().is_some_and(|issued| issued != foreign));
    assert_eq!(answer.json()["items"], json!([]));
}

#[tokio::test]
async fn the_fifty_first_product_is_422() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-01", 1).await;
    for n in 2..=50 {
        shop.put(&cookie, &format!("P-{n:02}"), json!({"quantity": 1}))
            .await
            .expect(200);
    }
    shop.put(&cookie, "P-51", json!({"quantity": 1}))
        .await
        .expect(422);
    shop.put(&cookie, "P-50", json!({"quantity": 2}))
        .await
        .expect(200);
    shop.delete(&cookie, "P-01").await.expect(200);
    shop.put(&cookie, "P-51", json!({"quantity": 1}))
        .await
        .expect(200);
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let shop = Shop::open().await;
    let cookie = shop.filled_cart("P-01", 1).await;
    let skus: Vec<_> = (2..=40).map(|n| format!("P-{n:02}")).collect();
    let puts = skus
        .iter()
        .map(|sku| shop.put(&cookie, sku, json!({"quantity": 1})));
    for answer in futures_util::future::join_all(puts).await {
        answer.expect(200);
    }
    assert_eq!(
        shop.cart(&cookie).await["items"].as_array().unwrap().len(),
        40
    );
}

#[tokio::test]
async fn an_unknown_product_is_404_before_anything_about_the_body() {
    let shop = Shop::open().await;
    for (method, sku) in [
        (Method::PUT, "NOPE"),
        (Method::DELETE, "NOPE"),
        (Method::PUT, "%ff"),
        (Method::DELETE, "%ff"),
    ] {
        let ask = Ask::new(method, &format!("/v1/cart/items/{sku}"));
        shop.send(ask.header("content-type", "text/plain"))
            .await
            .expect(404);
    }
}

#[tokio::test]
async fn quantities_are_numbers_from_one_to_a_thousand() {
    let shop = Shop::open().await;
    for body in [
        json!({"quantity": 0}),
        json!({"quantity": -1}),
        json!({"quantity": 1001}),
        json!({"quantity": 1.5}),
        json!({"quantity": "1"}),
        json!({"quantity": null}),
        json!({"quantity": 1, "price": 1}),
        json!({}),
        json!([1]),
        json!(1),
        json!(null),
    ] {
        shop.put("", "P-01", body).await.expect(422);
    }
    let put = || Ask::new(Method::PUT, "/v1/cart/items/P-01");
    shop.send(put().said_json(r#"{"quantity":1,"quantity":1}"#))
        .await
        .expect(422);
    shop.send(put().said_json(r#"{"quantity":1e999}"#))
        .await
        .expect(422);
    shop.send(put().said_json(r#"{"quantity":1"#))
        .await
        .expect(400);
    shop.send(put().said_json("")).await.expect(400);
}
