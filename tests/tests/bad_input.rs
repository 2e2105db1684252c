//! What customers are told when they ask for what cannot be had, in the order in which it is looked at: 404, 405, 415,
//! 413, 400, 422.

use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
};

use http::Method;
use mesh_tests::{Answer, Http, Processes, Request, Shop};
use serde_json::{Value, json};

const UNKNOWN_ORDER: &str = "0b0f2f1e-5a0f-4d0c-8a55-4a6fbbf4f9a1";
/// What a body may weigh.
const BODY_LIMIT: usize = 64 * 1024;
/// Random bodies for each route.
const RANDOM_BODIES: u64 = 200;

/// The answer is the problem of that status, and says of which request.
#[track_caller]
fn is_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}: {problem}");
    for field in ["type", "title", "detail"] {
        assert!(
            problem[field].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: {field} of {problem}"
        );
    }
    assert_eq!(
        problem["request_id"],
        answer.header("x-request-id"),
        "{what}: {problem}"
    );
    assert_eq!(
        problem["trace_id"],
        answer.header("x-trace-id"),
        "{what}: {problem}"
    );
    assert_eq!(answer.header("x-trace-id").len(), 32, "{what}");
}

async fn start() -> (Processes, Shop, String) {
    let processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    (processes, shop, sku)
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_cannot_be_done_with_it_405() {
    let (_processes, shop, sku) = start().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/v1"),
        (Method::GET, "/v1/nothing"),
        (Method::GET, "/v1/products/"),
        (Method::GET, "/v1/products/no-such-sku"),
        (Method::GET, "/v1/products/%ff"),
        (Method::PUT, "/v1/cart/items/no-such-sku"),
        (Method::DELETE, "/v1/cart/items/no-such-sku"),
        (Method::GET, &format!("/v1/orders/{UNKNOWN_ORDER}")),
        (Method::GET, "/v1/orders/no-uuid"),
        (Method::POST, &format!("/v1/orders/{UNKNOWN_ORDER}/cancel")),
        (Method::POST, "/v1/orders/no-uuid/cancel"),
    ] {
        let what = format!("{method} {path}");
        let request = shop.request(method, path).json(&json!({ "quantity": 1 }));
        is_problem(&request.send().await, 404, &what);
    }
    let item = format!("/v1/cart/items/{sku}");
    let cancel = format!("/v1/orders/{UNKNOWN_ORDER}/cancel");
    for (method, path, allowed) in [
        (Method::POST, "/v1/products", &["GET"][..]),
        (Method::PUT, "/v1/orders", &["GET", "POST"]),
        (Method::DELETE, "/v1/cart", &["GET"]),
        (Method::GET, &item, &["PUT", "DELETE"]),
        (Method::GET, &cancel, &["POST"]),
        (Method::PATCH, &item, &["PUT", "DELETE"]),
    ] {
        let what = format!("{method} {path}");
        let answer = shop
            .request(method, path)
            .body("no JSON either")
            .send()
            .await;
        is_problem(&answer, 405, &what);
        let allow: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        assert!(
            allowed.iter().all(|method| allow.contains(method)),
            "{what}: {allow:?}"
        );
        assert!(
            allow
                .iter()
                .all(|method| allowed.contains(method) || *method == "HEAD"),
            "{what}: {allow:?}"
        );
    }
}

#[tokio::test]
async fn a_body_has_to_be_json_of_at_most_64_kib() {
    let (_processes, shop, sku) = start().await;
    let item = format!("/v1/cart/items/{sku}");
    let too_long = vec![b' '; BODY_LIMIT + 1];
    for (method, path) in [(Method::POST, "/v1/orders"), (Method::PUT, item.as_str())] {
        let request = || {
            shop.request(method.clone(), path)
                .header("idempotency-key", "one")
        };
        let json = || request().header("content-type", "application/json");
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonx"),
        ] {
            let request = kind.into_iter().fold(request(), |request, kind| {
                request.header("content-type", kind)
            });
            // Too long and no JSON as well: the type is looked at first.
            is_problem(
                &request.body(too_long.clone()).send().await,
                415,
                &format!("{path} {kind:?}"),
            );
        }
        is_problem(&json().body(too_long.clone()).send().await, 413, path);
        for body in ["", "no JSON", "{", "{}{}", "{\"a\":}", "\u{0}"] {
            is_problem(
                &json().body(body).send().await,
                400,
                &format!("{path} {body:?}"),
            );
        }
        let mut padded = br#"{"nothing":0}"#.to_vec();
        padded.resize(BODY_LIMIT, b' ');
        is_problem(
            &json().body(padded).send().await,
            422,
            &format!("{path} of just the limit"),
        );
        let typed = request()
            .header("content-type", "Application/JSON; charset=utf-8")
            .body("{}")
            .send()
            .await;
        is_problem(&typed, 422, "a charset is fine");
    }
}

#[tokio::test]
async fn an_order_needs_a_key_of_visible_ascii() {
    let (_processes, shop, sku) = start().await;
    let body = json!({ "items": [{ "sku": sku, "quantity": 1 }], "payment_token": "tok_ok" });
    let longest = "k".repeat(255);
    let longer = "k".repeat(256);
    let request = |body: &Value| shop.request(Method::POST, "/v1/orders").json(body);
    is_problem(&request(&body).send().await, 400, "no key");
    // Both the key and the shape are wrong: the key is looked at first.
    is_problem(
        &request(&json!({})).send().await,
        400,
        "no key and no fields",
    );
    for key in ["", "a b", "a\tb", "schlüssel", &longer] {
        is_problem(
            &request(&body).header("idempotency-key", key).send().await,
            400,
            key,
        );
    }
    for key in ["!", "~", &longest] {
        let _placed = request(&body)
            .header("idempotency-key", key)
            .send()
            .await
            .expect_status(201);
    }
}

#[tokio::test]
async fn pages_are_of_a_positive_size_and_their_tokens_ours() {
    let (_processes, shop, _sku) = start().await;
    for list in ["products", "orders"] {
        for query in [
            "page_size=0",
            "page_size=-1",
            "page_size=x",
            "page_size=",
            "page_size=1.5",
            "page_token=x",
            "page_token=%ff",
        ] {
            let answer = shop
                .request(Method::GET, &format!("/v1/{list}?{query}"))
                .send()
                .await;
            is_problem(&answer, 400, &format!("{list} {query}"));
        }
        for query in [
            "page_size=101",
            "page_size=100",
            "page_size=99999999999999999999",
            "else=x",
        ] {
            let answer = shop
                .request(Method::GET, &format!("/v1/{list}?{query}"))
                .send()
                .await;
            assert_eq!(answer.status, 200, "{list} {query}: {}", answer.text());
        }
    }
}

/// An order of so many pieces.
fn order(sku: &str, quantity: &Value) -> Value {
    json!({ "items": [{ "sku": sku, "quantity": quantity }], "payment_token": "tok_ok" })
}

/// Orders of the wrong shape, or with a value that is wrong.
fn wrong_orders(sku: &str) -> Vec<String> {
    let one = json!({ "sku": sku, "quantity": 1 });
    let items = |items: Value| json!({ "items": items, "payment_token": "tok_ok" });
    let token = |token: Value| json!({ "items": [one], "payment_token": token });
    let many = (0..51).map(|n| json!({ "sku": format!("sku-{n}"), "quantity": 1 }));
    let objects = [
        json!(null),
        json!([]),
        json!([[one], "tok_ok"]),
        json!("text"),
        json!({}),
        json!({ "items": [one] }),
        json!({ "items": [one], "payment_token": "tok_ok", "coupon": "x" }),
        items(json!([])),
        items(json!([one, one])),
        items(many.collect()),
        items(json!([{ "sku": sku }])),
        items(json!([[sku, 1]])),
        items(json!([{ "sku": sku, "quantity": 1, "price": 1 }])),
        items(json!([{ "sku": "no-such-sku", "quantity": 1 }])),
        items(json!([{ "sku": "", "quantity": 1 }])),
        token(json!(1)),
        token(json!("")),
        token(json!(null)),
        token(json!("tok_unheard_of")),
    ];
    let quantities = wrong_quantities()
        .into_iter()
        .map(|quantity| order(sku, &quantity));
    let twice = [
        format!(
            r#"{{"items":[{{"sku":"{sku}","quantity":1,"quantity":2}}],"payment_token":"tok_ok"}}"#
        ),
        format!(r#"{{"items":[{one}],"payment_token":"x","payment_token":"tok_ok"}}"#),
    ];
    objects
        .into_iter()
        .chain(quantities)
        .map(|body| body.to_string())
        .chain(twice)
        .collect()
}

fn wrong_quantities() -> [Value; 7] {
    [
        json!(0),
        json!(-1),
        json!(1001),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(99_999_999_999_i64),
    ]
}

#[tokio::test]
async fn json_of_the_wrong_shape_or_value_is_422_and_leaves_the_key_unused() {
    let (_processes, shop, sku) = start().await;
    for body in wrong_orders(&sku) {
        let answer = shop
            .order_of("one", &json!({}))
            .body(body.clone())
            .send()
            .await;
        is_problem(&answer, 422, &body);
    }
    let answer = shop
        .order_of("one", &json!({ "payment_token": "tok_ok" }))
        .send()
        .await;
    is_problem(&answer, 422, "an empty cart");
    let path = format!("/v1/cart/items/{sku}");
    for quantity in wrong_quantities() {
        let body = json!({ "quantity": quantity });
        let answer = shop.request(Method::PUT, &path).json(&body).send().await;
        is_problem(&answer, 422, &body.to_string());
    }

    let placed = shop
        .order_of("one", &order(&sku, &json!(1)))
        .send()
        .await
        .expect_status(201);
    assert_eq!(
        placed.header("idempotent-replayed"),
        "",
        "the key was still unused"
    );
    let most = shop.order_of("two", &order(&sku, &json!(999))).send().await;
    assert_eq!(most.status, 201, "{}", most.text());
}

#[tokio::test]
async fn a_body_of_random_bytes_is_never_our_fault() {
    let (_processes, shop, sku) = start().await;
    let item = format!("/v1/cart/items/{sku}");
    let cancel = format!("/v1/orders/{UNKNOWN_ORDER}/cancel");
    for (method, path) in [
        (Method::POST, "/v1/orders"),
        (Method::PUT, item.as_str()),
        (Method::POST, cancel.as_str()),
    ] {
        for _ in 0..RANDOM_BODIES {
            let seed = RandomState::new().hash_one(path);
            let request = shop
                .request(method.clone(), path)
                .header("idempotency-key", "one");
            refused(
                request
                    .header("content-type", "application/json")
                    .body(bytes(seed)),
                seed,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn random_paths_are_never_our_fault() {
    let (processes, _shop, _sku) = start().await;
    let http: Http = processes.gateway();
    for start in [
        "/",
        "/v1/products/",
        "/v1/cart/items/",
        "/v1/orders/",
        "/v1/products?page_token=",
        "/v1/orders?",
    ] {
        for _ in 0..RANDOM_BODIES / 4 {
            let seed = RandomState::new().hash_one(start);
            let mut path = start.to_owned();
            for byte in bytes(seed).iter().take(60) {
                write!(path, "%{byte:02X}").expect("text grows");
            }
            let answer = http.get(&path).send().await;
            assert!(
                answer.status < 500,
                "{} for {path} of seed {seed}: {}",
                answer.status,
                answer.text()
            );
        }
    }
}

async fn refused(request: Request, seed: u64) {
    let answer = request.send().await;
    assert!(
        (400..500).contains(&answer.status),
        "{} for seed {seed}: {}",
        answer.status,
        answer.text()
    );
}

/// Up to 255 bytes that follow from the seed (splitmix64).
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let [length, ..] = next().to_le_bytes();
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}
