//! Requests that are wrong, and in which order that is told.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
};

use super::{
    fakes::ORDER_ID,
    shop::{Ask, Body, Shop, full},
};

const LIMIT: usize = 64 * 1024;

fn post() -> Ask {
    Ask::new(Method::POST, "/v1/orders")
}

/// A body of so many bytes whose length is not told beforehand.
fn streamed(chunks: usize) -> Body {
    let frame = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; 1024])));
    let frames = stream::repeat_with(frame).take(chunks);
    StreamBody::new(frames)
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[tokio::test]
async fn what_has_no_route_is_404_and_the_admin_pages_are_not_here() {
    let shop = Shop::open().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/products",
        "/v1/products/",
        "/v1/cart/items",
        "/v1/orders/",
        "/V1/products",
        "//v1/products",
        "/v1//products",
        "/metrics",
        "/debug",
        "/debug/pprof/",
        "/admin",
        "/healthz",
        "/readyz",
        "/config",
        "/version",
        "/docs/nothing",
        "/docs/../Cargo.toml",
        "/docs/%2e%2e",
        "/docs/%ff",
    ] {
        shop.get(path).await.expect(404);
        shop.send(Ask::new(Method::PATCH, path)).await;
    }
    shop.send(Ask::new(Method::DELETE, "/nowhere"))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_method_without_a_handler_is_405_with_those_that_have_one() {
    let shop = Shop::open().await;
    let order = format!("/v1/orders/{ORDER_ID}");
    for (method, path, allow) in [
        (Method::POST, "/v1/products", "GET,HEAD"),
        (Method::DELETE, "/v1/products/P-01", "GET,HEAD"),
        (Method::PUT, "/v1/cart", "GET,HEAD"),
        (Method::GET, "/v1/cart/items/P-01", "PUT,DELETE"),
        (Method::PUT, "/v1/orders", "POST,GET,HEAD"),
        (Method::OPTIONS, "/v1/orders", "POST,GET,HEAD"),
        (Method::PATCH, &order, "GET,HEAD"),
        (Method::GET, &format!("{order}/cancel"), "POST"),
        (Method::POST, "/openapi.json", "GET,HEAD"),
    ] {
        // A method nobody has is told before anything about the body.
        let ask = Ask::new(method, path).header("content-type", "text/plain");
        let answer = shop
            .send(ask.body(full(vec![b'x'; LIMIT + 1])))
            .await
            .expect(405);
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
    shop.send(Ask::new(Method::HEAD, "/v1/products"))
        .await
        .expect(200);
}

#[tokio::test]
async fn only_json_is_taken_and_that_is_checked_before_the_length() {
    let shop = Shop::open().await;
    let body =
        json!({"items": [{"sku": "P-01", "quantity": 1}], "payment_token": "tok_ok"}).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "application/jsonx",
        "json",
        "application/json; charset=latin1",
        "",
        "application/json, application/json",
        "multipart/form-data",
    ] {
        let ask = post()
            .key("k")
            .header("content-type", kind)
            .body(full(body.clone()));
        shop.send(ask).await.expect(415);
    }
    shop.send(post().key("k").body(full(body.clone())))
        .await
        .expect(415);
    let twice = post().key("k").header("content-type", "application/json");
    shop.send(twice.said_json(body.clone())).await.expect(415);
    shop.send(post().body(full(vec![b'x'; LIMIT + 1])))
        .await
        .expect(415);
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
    ] {
        let ask = post()
            .key("k")
            .header("content-type", kind)
            .body(full(body.clone()));
        shop.send(ask).await.expect(201);
    }
}

#[tokio::test]
async fn more_than_64_kib_is_413_however_it_comes() {
    let shop = Shop::open().await;
    let json = |ask: Ask| ask.header("content-type", "application/json");
    shop.send(json(post()).body(full(vec![b' '; LIMIT + 1])))
        .await
        .expect(413);
    shop.send(json(post()).body(streamed(65))).await.expect(413);
    // It is told before the end, of which there is none.
    shop.send(json(post()).body(streamed(usize::MAX)))
        .await
        .expect(413);
    let put = Ask::new(Method::PUT, "/v1/cart/items/P-01");
    shop.send(json(put).body(full(vec![b' '; LIMIT + 1])))
        .await
        .expect(413);

    let mut most =
        json!({"items": [{"sku": "P-01", "quantity": 1}], "payment_token": "tok_ok"}).to_string();
    most.extend(std::iter::repeat_n(' ', LIMIT - most.len()));
    assert_eq!(most.len(), LIMIT);
    shop.send(post().key("k").said_json(most)).await.expect(201);
}

#[tokio::test]
async fn who_listens_only_after_sending_everything_hears_413_too() {
    let shop = Shop::open().await;
    let body = vec![b' '; 8 * 1024 * 1024];
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = shop.connect().await;
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// A body of which a little comes, and then nothing.
fn stalled() -> Body {
    let begun = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
    StreamBody::new(begun.chain(stream::pending()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[tokio::test]
async fn what_is_refused_is_refused_although_the_rest_never_comes() {
    let shop = Shop::open().await;
    let send = async |kind: &str, length: &str, status| {
        let ask = post().key("k").header("content-type", kind);
        let ask = ask.header("content-length", length).body(stalled());
        shop.send(ask).await.expect(status)
    };
    tokio::join!(
        send("application/json", "100000", 413),
        send("application/json", "10000000", 413),
        send("text/plain", "1000", 415),
    );
}

#[tokio::test]
async fn what_is_not_json_is_400_even_when_its_beginning_has_the_wrong_shape() {
    let shop = Shop::open().await;
    for body in [
        &b""[..],
        b" ",
        b"{",
        b"nul",
        b"{}x",
        b"{\"a\":}",
        b"'a'",
        b"{\"items\":1",
        b"{\"items\":1,}",
        b"\xff",
        b"{\"payment_token\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"{\"a\":01}",
        b"\"\x01\"",
    ] {
        shop.send(post().key("k").said_json(body)).await.expect(400);
    }
}

#[tokio::test]
async fn a_missing_key_is_told_before_the_wrong_shape() {
    let shop = Shop::open().await;
    shop.send(post().said_json("{}")).await.expect(400);
    shop.send(post().key("k").said_json("{}")).await.expect(422);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    shop.send(post().key("k").said_json(deep)).await.expect(422);
    assert!(shop.orders.place.asked().is_empty());
}

/// Anything at all, from noise to a valid order with a few bytes changed.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let valid = br#"{"items":[{"sku":"P-01","quantity":1}],"payment_token":"tok_ok"}"#;
    let spoilt = prop::collection::vec((0..valid.len(), any::<u8>()), 0..4).prop_map(|changes| {
        let mut body = valid.to_vec();
        for (at, byte) in changes {
            body[at] = byte;
        }
        body
    });
    let tokens = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1e9",
        "-0",
        "\"items\"",
        "\"sku\"",
        "\"quantity\"",
        "\"payment_token\"",
        "\"\\ud800\"",
        "18446744073709551616",
        " ",
    ]);
    let soup = prop::collection::vec(tokens, 0..30).prop_map(|tokens| tokens.concat().into_bytes());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), spoilt, soup]
}

/// Paths and queries, from nearly right to nonsense; all can be sent.
fn targets() -> impl Strategy<Value = String> {
    let tokens = prop::sample::select(vec![
        "/",
        "v1",
        "products",
        "cart",
        "items",
        "orders",
        "cancel",
        "docs",
        "P-01",
        ORDER_ID,
        "..",
        "%",
        "%00",
        "%ff",
        "%2F",
        "%25",
        "~",
        "*",
        ":",
        "{id}",
        "?",
        "&",
        "=",
        "page_size",
        "page_token",
        "1",
        "-",
        "+",
        ";",
        "%F0%9F",
    ]);
    prop::collection::vec(tokens, 0..12).prop_map(|tokens| format!("/{}", tokens.concat()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_path_whatsoever_is_our_fault() {
    let shop = Shop::open().await;
    let handle = Handle::current();
    tokio::task::block_in_place(|| {
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&targets(), |target| {
                prop_assume!(target.parse::<http::Uri>().is_ok());
                let status = handle.block_on(shop.get(&target)).status.as_u16();
                prop_assert!(
                    matches!(status, 200 | 400 | 404 | 405),
                    "{target}: {status}"
                );
                Ok(())
            })
            .unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_body_whatsoever_is_our_fault() {
    let shop = Shop::open().await;
    let handle = Handle::current();
    tokio::task::block_in_place(|| {
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&bodies(), |body| {
                let put = Ask::new(Method::PUT, "/v1/cart/items/P-01").said_json(body.clone());
                let put = handle.block_on(shop.send(put)).status.as_u16();
                prop_assert!(matches!(put, 400 | 422), "{put}");
                let post = handle
                    .block_on(shop.send(post().key("k").said_json(body)))
                    .status
                    .as_u16();
                prop_assert!(matches!(post, 201 | 400 | 422), "{post}");
                Ok(())
            })
            .unwrap();
    });
}
