//! A session, as a browser sees it; kept in Redis it belongs to no gateway, and needs none of them to live.

use std::time::Duration;

use futures_util::future::join_all;
use mesh_backing::{Kind, Options, Server};
use mesh_tests::{Answer, Processes, Shop, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;

/// For what takes seconds, on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(30);
/// No request takes longer: what the gateway works on it at most, and a little for the machine.
const ANSWERED: Duration = Duration::from_secs(8);
const GATEWAYS: [&str; 2] = ["gateway", "gateway-2"];

fn redis() -> Server {
    Server::temporary(Kind::Redis, Options::default()).expect("redis-server is installed")
}

/// Two gateways, and all that an order needs.
async fn two_gateways(redis: &Server) -> Processes {
    let [one, two] = GATEWAYS;
    Processes::only(&["payments", "inventory", "orders", one, two])
        .set_of("gateway", "MESH_SESSION_URL", redis.url())
        .start()
        .await
}

fn lines(cart: &Value) -> Vec<(String, u64)> {
    let items = cart["items"].as_array().expect("a list");
    let line = |item: &Value| {
        let sku = item["sku"].as_str().expect("a sku");
        (sku.to_owned(), item["quantity"].as_u64().expect("a number"))
    };
    items.iter().map(line).collect()
}

async fn skus(shop: &Shop) -> Vec<String> {
    let products = shop.get("/v1/products").await;
    let products = products["products"].as_array().expect("a list");
    let sku = |product: &Value| product["sku"].as_str().expect("a sku").to_owned();
    products.iter().map(sku).collect()
}

#[tokio::test]
async fn a_session_is_an_opaque_cookie() {
    let processes = Processes::start().await;
    let answer = processes
        .gateway()
        .get("/v1/cart")
        .send()
        .await
        .expect_status(200);
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(
            cookie
                .split("; ")
                .any(|part| part.eq_ignore_ascii_case(attribute)),
            "{attribute}: {cookie}"
        );
    }
    let again = processes
        .gateway()
        .get("/v1/cart")
        .cookie(&answer.cookie().expect("a cookie"))
        .send()
        .await;
    assert_eq!(again.status, 200);
    let products = processes.gateway().get("/v1/products").send().await;
    assert_eq!(
        products.header("set-cookie"),
        "",
        "nobody needs a session to look around"
    );
}

#[tokio::test]
async fn a_cart_filled_through_one_gateway_is_checked_out_through_another() {
    let mut redis = redis();
    let mut processes = two_gateways(&redis).await;
    let [one, two] = GATEWAYS;
    let shop = Shop::with_session(processes.http(one)).await;
    let other = shop.at(processes.http(two));
    let skus = skus(&shop).await;
    let pay = json!({ "payment_token": "tok_ok" });

    assert_eq!(shop.put(&skus[0], 2).await.status, 200);
    assert_eq!(other.put(&skus[1], 1).await.status, 200);
    processes.process(one).kill().await;
    redis.kill();
    redis.start_again().expect("it starts again");
    let expected = [(skus[0].clone(), 2), (skus[1].clone(), 1)];
    let kept = eventually(LIMIT, "the cart is still there", || async {
        let answer = other.request(http::Method::GET, "/v1/cart").send().await;
        (answer.status == 200)
            .then(|| lines(&answer.json()))
            .ok_or(answer.text())
    });
    assert_eq!(kept.await, expected);
    let placed = other.order_of("one", &pay).send().await.expect_status(201);
    assert_eq!(lines(&placed.json()), expected);

    // The other way round: the gateway that took the order is gone.
    processes.kill(one).await;
    processes.process(two).kill().await;
    assert_eq!(shop.get("/v1/cart").await["items"], json!([]));
    let again = shop.order_of("one", &pay).send().await.expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), placed.json());
    assert_eq!(
        shop.get("/v1/orders").await["orders"],
        json!([placed.json()])
    );
    let stranger = Shop::with_session(processes.http(one)).await;
    assert_eq!(stranger.get("/v1/orders").await["orders"], json!([]));
}

#[tokio::test]
async fn a_gateway_that_dies_in_the_middle_of_an_order_loses_neither_cart_nor_order() {
    let redis = redis();
    let mut processes = two_gateways(&redis).await;
    let [one, two] = GATEWAYS;
    let shop = Shop::with_session(processes.http(one)).await;
    let sku = shop.first_sku().await;
    assert_eq!(shop.put(&sku, 3).await.status, 200);
    let order = json!({ "payment_token": "tok_slow" });
    let (broken, ()) = tokio::join!(shop.order_of("one", &order).try_send(), async {
        eventually(LIMIT, "the charge has arrived", || async {
            let metrics = processes.metrics("payments").await;
            let inside = metrics.sum("http_requests_in_flight", &[]);
            (inside > 0.0).then_some(()).ok_or(inside)
        })
        .await;
        processes.process(one).kill().await;
    });
    assert!(broken.is_err(), "{broken:?}");

    let other = shop.at(processes.http(two));
    assert_eq!(lines(&other.get("/v1/cart").await), [(sku.clone(), 3)]);
    let placed = eventually(LIMIT, "the order is placed", || async {
        let answer = other.order_of("one", &order).send().await;
        match answer.status {
            201 => Ok(answer),
            409 if !answer.header("retry-after").is_empty() => Err(answer.text()),
            _ => panic!("{} {}", answer.status, answer.text()),
        }
    })
    .await;
    assert_eq!(lines(&placed.json()), [(sku.clone(), 3)]);
    assert_eq!(other.get("/v1/cart").await["items"], json!([]));
    let orders = other.get("/v1/orders").await;
    assert_eq!(orders["orders"], json!([placed.json()]));
    assert_eq!(other.available(&sku).await, 997);
}

#[tokio::test]
async fn two_gateways_that_change_a_cart_at_the_same_time_lose_nothing() {
    let redis = redis();
    let processes = two_gateways(&redis).await;
    let shop = Shop::with_session(processes.http(GATEWAYS[0])).await;
    let customers = GATEWAYS.map(|name| shop.at(processes.http(name)));
    let mut skus = skus(&shop).await;
    // Each asks inventory twice; that is not what is tested here.
    skus.truncate(8);
    let puts = skus
        .iter()
        .zip(0..)
        .map(|(sku, n)| customers[n % 2].put(sku, 1));
    for answer in join_all(puts).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut expected: Vec<_> = skus.into_iter().map(|sku| (sku, 1)).collect();
    expected.sort();
    for customer in &customers {
        assert_eq!(lines(&customer.get("/v1/cart").await), expected);
    }
}

/// Asks for everything that a session is needed for, and for what none is needed; all at once.
async fn without_the_session_store(shop: &Shop, key: &str, sku: &str) {
    let item = format!("/v1/cart/items/{sku}");
    let needed = [
        shop.request(http::Method::GET, "/v1/cart"),
        shop.request(http::Method::PUT, &item)
            .json(&json!({ "quantity": 1 })),
        shop.request(http::Method::DELETE, &item),
        shop.request(http::Method::GET, "/v1/orders"),
        shop.order_of(
            &format!("{key}-cart"),
            &json!({ "payment_token": "tok_ok" }),
        ),
    ];
    let asked = Instant::now();
    let (refused, placed, products) = tokio::join!(
        join_all(needed.map(mesh_tests::Request::send)),
        shop.order(key, sku, 1, "tok_ok").send(),
        shop.request(http::Method::GET, "/v1/products").send(),
    );
    let took = asked.elapsed();
    assert!(took < ANSWERED, "{took:?}");
    for answer in refused {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_ne!(answer.header("retry-after"), "");
        assert_eq!(answer.header("set-cookie"), "");
    }
    assert_eq!(placed.status, 201, "{}", placed.text());
    assert_eq!(products.status, 200, "{}", products.text());
}

#[tokio::test]
async fn without_redis_everything_serves_that_needs_no_session() {
    let mut redis = redis();
    let processes = Processes::all()
        .set_of("gateway", "MESH_SESSION_URL", redis.url())
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    assert_eq!(shop.put(&sku, 2).await.status, 200);
    let back = || async {
        eventually(LIMIT, "the session is there again", || async {
            let answer: Answer = shop.request(http::Method::GET, "/v1/cart").send().await;
            (answer.status == 200)
                .then_some(answer.json())
                .ok_or(answer.text())
        })
        .await
    };

    // At first it is not known that it hangs, then it is.
    redis.pause();
    for key in ["hung", "known-to-hang"] {
        without_the_session_store(&shop, key, &sku).await;
    }
    redis.resume();
    assert_eq!(lines(&back().await), [(sku.clone(), 2)]);

    redis.kill();
    without_the_session_store(&shop, "gone", &sku).await;
    let ready = processes.admin("gateway").get("/readyz").send().await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    redis.start_again().expect("it starts again");
    assert_eq!(lines(&back().await), [(sku, 2)]);
}
