//! What customers do, from the catalogue to a cancelled order.

use std::time::Duration;

use http::Method;
use mesh_tests::{Answer, Processes, Shop, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Longer than an order may take.
const ORDER_LIMIT: Duration = Duration::from_secs(6);

async fn start() -> (Processes, Shop) {
    let processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    (processes, shop)
}

/// The id of an order, from the answer that made it.
fn id(answer: &Answer) -> String {
    answer.json()["id"]
        .as_str()
        .expect("an order has an id")
        .to_owned()
}

/// Whole pages of a list, one after the other.
async fn pages(shop: &Shop, list: &str, size: usize) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut path = format!("/v1/{list}?page_size={size}");
    loop {
        let page = shop.get(&path).await;
        pages.push(page[list].as_array().expect("a list").clone());
        match page.get("next_page_token") {
            Some(token) => {
                path = format!(
                    "/v1/{list}?page_size={size}&page_token={}",
                    token.as_str().expect("text")
                )
            }
            None => return pages,
        }
    }
}

#[tokio::test]
async fn the_catalogue_holds_24_products_in_pages() {
    let (mut processes, shop) = start().await;
    let products = pages(&shop, "products", 50).await.concat();
    assert_eq!(products.len(), 24);
    for product in &products {
        let fields: Vec<_> = product
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            fields,
            ["available", "description", "name", "price", "sku"],
            "{product}"
        );
        assert_eq!(product["available"], 1000, "{product}");
        assert!(
            product["price"]["amount_minor"]
                .as_i64()
                .is_some_and(|minor| minor > 0),
            "{product}"
        );
        assert_eq!(
            product["price"]["currency"].as_str().map(str::len),
            Some(3),
            "{product}"
        );
        assert!(
            product["name"]
                .as_str()
                .is_some_and(|name| !name.is_empty()),
            "{product}"
        );
        assert!(
            product["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{product}"
        );
        let sku = product["sku"].as_str().expect("a sku");
        assert_eq!(&shop.get(&format!("/v1/products/{sku}")).await, product);
    }

    for size in [1, 7, 24, 1000] {
        let paged = pages(&shop, "products", size).await;
        assert_eq!(paged.concat(), products, "pages of {size}");
        assert!(
            paged
                .iter()
                .all(|page| !page.is_empty() && page.len() <= size.min(100)),
            "pages of {size}"
        );
    }
    processes.stop().await;
}

#[tokio::test]
async fn an_order_is_placed_once_however_often_it_is_sent() {
    let (_processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let first = shop
        .order("one", &sku, 2, "tok_ok")
        .send()
        .await
        .expect_status(201);
    let order = first.json();
    assert_eq!(order["status"], "confirmed", "{order}");
    assert_eq!(
        first.header("location"),
        format!("/v1/orders/{}", id(&first))
    );
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(order["items"][0]["sku"], sku.as_str(), "{order}");
    assert_eq!(order["items"][0]["quantity"], 2, "{order}");
    let unit = order["items"][0]["unit_price"]["amount_minor"]
        .as_i64()
        .expect("a price");
    for total in [&order["items"][0]["total"], &order["total"]] {
        assert_eq!(total["amount_minor"], 2 * unit, "{order}");
    }
    for time in ["created_at", "updated_at"] {
        assert!(
            order[time].as_str().is_some_and(|time| time.ends_with('Z')),
            "{order}"
        );
    }
    assert_eq!(shop.available(&sku).await, 998);

    let other_session = Shop::with_session(_processes.gateway()).await;
    for customer in [&shop, &other_session] {
        let again = customer
            .order("one", &sku, 2, "tok_ok")
            .send()
            .await
            .expect_status(201);
        assert_eq!(again.json(), order);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.header("location"), first.header("location"));
    }
    // The same in other words: fields in another order, white space.
    let body = format!(
        r#" {{ "payment_token" : "tok_ok", "items" : [ {{"quantity":2, "sku":"{sku}"}} ] }} "#
    );
    let again = shop
        .request(Method::POST, "/v1/orders")
        .header("idempotency-key", "one");
    let again = again
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(shop.available(&sku).await, 998);
    assert_eq!(shop.get(&format!("/v1/orders/{}", id(&first))).await, order);
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let (_processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let _placed = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    for other in [
        shop.order("one", &sku, 2, "tok_ok"),
        shop.order("one", &sku, 1, "tok_declined"),
        shop.order_of("one", &json!({ "payment_token": "tok_ok" })),
    ] {
        let _refused = other.send().await.expect_status(422);
    }
    assert_eq!(shop.available(&sku).await, 999);

    // What was refused leaves its key unused.
    let _refused = shop
        .order("two", "no-such-sku", 1, "tok_ok")
        .send()
        .await
        .expect_status(422);
    let _refused = shop
        .order("two", &sku, 1, "tok_unheard_of")
        .send()
        .await
        .expect_status(422);
    let placed = shop
        .order("two", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(placed.header("idempotent-replayed"), "");
}

#[tokio::test]
async fn a_declined_payment_leaves_the_stock_as_it_was() {
    let (_processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let declined = shop
        .order("one", &sku, 5, "tok_declined")
        .send()
        .await
        .expect_status(402);
    assert_eq!(shop.available(&sku).await, 1000);
    let again = shop
        .order("one", &sku, 5, "tok_declined")
        .send()
        .await
        .expect_status(402);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(declined.json()["title"], again.json()["title"]);
    let orders = shop.get("/v1/orders").await;
    assert_eq!(orders["orders"][0]["status"], "failed", "{orders}");
}

#[tokio::test]
async fn an_order_without_enough_stock_costs_nothing() {
    let processes = Processes::all().set("MESH_SEED_STOCK", "3").start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let refused = shop
        .order("one", &sku, 4, "tok_ok")
        .send()
        .await
        .expect_status(409);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let again = shop
        .order("one", &sku, 4, "tok_ok")
        .send()
        .await
        .expect_status(409);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(shop.available(&sku).await, 3);
    let charges = processes.metrics("payments").await;
    let charges = charges.sum(
        "http_requests_total",
        &[("route", "/shop.payments.v1.PaymentsService/Charge")],
    );
    assert!(charges < 1.0, "{charges} charges");
    let orders = shop.get("/v1/orders").await;
    assert_eq!(orders["orders"][0]["status"], "failed", "{orders}");
    let product = shop.get(&format!("/v1/products/{sku}")).await;
    let price = product["price"]["amount_minor"].as_i64().expect("a price");
    let total = &orders["orders"][0]["total"]["amount_minor"];
    assert_eq!(*total, 4 * price, "what it would have cost");
    let _placed = shop
        .order("two", &sku, 3, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(shop.available(&sku).await, 0);
}

#[tokio::test]
async fn a_slow_payment_is_waited_for() {
    let (_processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let start = Instant::now();
    let placed = shop
        .order("one", &sku, 1, "tok_slow")
        .send()
        .await
        .expect_status(201);
    assert_eq!(placed.json()["status"], "confirmed");
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_order_whose_payment_is_silent_is_pending_until_it_is_settled() {
    let (processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let start = Instant::now();
    let pending = shop
        .order("one", &sku, 1, "tok_silent")
        .send()
        .await
        .expect_status(202);
    assert!(start.elapsed() < ORDER_LIMIT, "{:?}", start.elapsed());
    assert_eq!(pending.json()["status"], "pending");
    let id = id(&pending);

    // A repeat asks what became of the charge.
    let settled = eventually(ORDER_LIMIT * 3, "the order is settled", || async {
        let again = shop.order("one", &sku, 1, "tok_silent").send().await;
        if again.status == 201 {
            Ok(again)
        } else {
            Err(format!("{} {}", again.status, again.text()))
        }
    })
    .await;
    assert_eq!(settled.json()["status"], "confirmed");
    assert_eq!(settled.json()["id"], id.as_str());
    assert_eq!(
        shop.get(&format!("/v1/orders/{id}")).await["status"],
        "confirmed"
    );
    assert_eq!(shop.available(&sku).await, 999);
    let again = shop
        .order("one", &sku, 1, "tok_silent")
        .send()
        .await
        .expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    drop(processes);
}

#[tokio::test]
async fn a_cart_becomes_an_order() {
    let (processes, shop) = start().await;
    let products = shop.get("/v1/products").await["products"].clone();
    let [one, two] = [0, 1].map(|n: usize| products[n]["sku"].as_str().expect("a sku"));
    let price = |n: usize| {
        products[n]["price"]["amount_minor"]
            .as_i64()
            .expect("a price")
    };

    assert_eq!(shop.get("/v1/cart").await["items"], json!([]));
    assert_eq!(
        shop.put(one, 2).await.expect_status(200).json()["items"][0]["quantity"],
        2
    );
    assert_eq!(shop.put(two, 1).await.status, 200);
    let cart = shop.put(one, 3).await.expect_status(200).json();
    assert_eq!(cart["items"].as_array().map(Vec::len), Some(2), "{cart}");
    assert_eq!(
        cart["total"]["amount_minor"],
        3 * price(0) + price(1),
        "{cart}"
    );
    assert_eq!(cart, shop.get("/v1/cart").await);
    let other = Shop::with_session(processes.gateway()).await;
    assert_eq!(
        other.get("/v1/cart").await["items"],
        json!([]),
        "a cart belongs to its session"
    );

    for _ in 0..2 {
        let path = format!("/v1/cart/items/{two}");
        let cart = shop
            .request(Method::DELETE, &path)
            .send()
            .await
            .expect_status(200)
            .json();
        assert_eq!(cart["items"].as_array().map(Vec::len), Some(1), "{cart}");
    }

    let pay = json!({ "payment_token": "tok_ok" });
    let order = shop.order_of("one", &pay).send().await.expect_status(201);
    assert_eq!(order.json()["items"][0]["sku"], one);
    assert_eq!(order.json()["items"][0]["quantity"], 3);
    assert_eq!(order.json()["total"]["amount_minor"], 3 * price(0));
    assert_eq!(
        shop.get("/v1/cart").await["items"],
        json!([]),
        "an order empties the cart"
    );

    // The cart's contents are no part of the request.
    let _filled = shop.put(two, 1).await.expect_status(200);
    let again = shop.order_of("one", &pay).send().await.expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), order.json());
    assert_eq!(
        shop.get("/v1/cart").await["items"][0]["sku"],
        two,
        "a replay leaves the cart alone"
    );
    let _refused = other.order_of("one", &pay).send().await.expect_status(422);
    let _refused = other.order_of("two", &pay).send().await.expect_status(422);
}

#[tokio::test]
async fn a_session_sees_its_own_orders_newest_first() {
    let (processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let mut placed = Vec::new();
    for key in ["one", "two", "three"] {
        placed.push(
            shop.order(key, &sku, 1, "tok_ok")
                .send()
                .await
                .expect_status(201)
                .json(),
        );
    }
    let other = Shop::with_session(processes.gateway()).await;
    let theirs = other
        .order("four", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    placed.reverse();
    for size in [1, 2, 100] {
        assert_eq!(
            pages(&shop, "orders", size).await.concat(),
            placed,
            "pages of {size}"
        );
    }
    assert_eq!(pages(&other, "orders", 50).await.concat(), [theirs.json()]);
    assert_eq!(
        shop.get(&format!("/v1/orders/{}", id(&theirs))).await,
        theirs.json(),
        "who knows the id may read"
    );
}

#[tokio::test]
async fn a_cancelled_order_frees_its_stock_and_is_paid_back() {
    let (processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let placed = shop
        .order("one", &sku, 7, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(shop.available(&sku).await, 993);
    for _ in 0..2 {
        let cancelled = shop.cancel(&id(&placed)).await.expect_status(200).json();
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        assert_eq!(cancelled["id"], id(&placed), "{cancelled}");
        assert_eq!(shop.available(&sku).await, 1000);
    }
    let refunds = processes.metrics("payments").await;
    let refunds = refunds.sum(
        "http_requests_total",
        &[("route", "/shop.payments.v1.PaymentsService/Refund")],
    );
    assert!((refunds - 1.0).abs() < f64::EPSILON, "{refunds} refunds");

    let _declined = shop
        .order("two", &sku, 1, "tok_declined")
        .send()
        .await
        .expect_status(402);
    let failed = shop.get("/v1/orders").await["orders"][0].clone();
    assert_eq!(failed["status"], "failed", "{failed}");
    let _refused = shop
        .cancel(failed["id"].as_str().expect("an id"))
        .await
        .expect_status(409);
}

#[tokio::test]
async fn a_pending_order_cannot_be_cancelled_yet() {
    let (mut processes, shop) = start().await;
    let sku = shop.first_sku().await;
    let connected = shop.order("warm", &sku, 1, "tok_ok").send().await;
    assert_eq!(connected.status, 201);
    // So that nobody can settle it meanwhile.
    processes.process("payments").pause();
    let pending = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(202);
    let refused = shop.cancel(&id(&pending)).await.expect_status(409);
    let seconds: u32 = refused
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    assert!(seconds > 0);
}
