//! The RPCs as a caller sees them, through the chassis and a real connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use mesh_chassis::{Process, testing::TestRuntime};
use mesh_inventory::Inventory;
use mesh_proto::inventory::v1::{
    CommitRequest, GetProductsRequest, Line, ListProductsRequest, Product, ReleaseRequest,
    ReserveRequest, inventory_service_client::InventoryServiceClient, release_response,
    reserve_response::Outcome,
};
use mesh_store::testing;
use tonic::{Code, Status, transport::Channel};

const ORDER: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
const OTHER_ORDER: &str = "67e55044-10b1-426f-9247-bb680e5fe0c9";

type Client = InventoryServiceClient<Channel>;

async fn serve(runtime: &TestRuntime, store_url: &str) -> Client {
    let settings = [("MESH_STORE_URL", store_url), ("MESH_SEED_STOCK", "20")];
    let source: BTreeMap<_, _> = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let loaded = mesh_config::load::<<Inventory as Process>::Config>(&source).unwrap();
    let inbound = Inventory::build(loaded.config, runtime.runtime()).unwrap();
    let addr = runtime.serve(inbound).await.unwrap();
    InventoryServiceClient::connect(format!("http://{addr}"))
        .await
        .unwrap()
}

async fn ready() -> (TestRuntime, testing::Sqlite, Client) {
    let (runtime, place) = (TestRuntime::new(), testing::sqlite());
    let client = serve(&runtime, place.url()).await;
    runtime.runtime().readiness().becomes(true).await;
    (runtime, place, client)
}

fn reserve(order: &str, lines: &[(&str, i32)]) -> ReserveRequest {
    let lines = lines.iter().map(|(sku, quantity)| Line {
        sku: (*sku).to_owned(),
        quantity: *quantity,
    });
    ReserveRequest {
        order_id: order.to_owned(),
        lines: lines.collect(),
    }
}

fn commit(order: &str, message: &str) -> CommitRequest {
    CommitRequest {
        order_id: order.to_owned(),
        message_id: message.to_owned(),
    }
}

fn release(order: &str) -> ReleaseRequest {
    ReleaseRequest {
        order_id: order.to_owned(),
    }
}

async fn list(
    client: &mut Client,
    page_size: i32,
    token: &str,
) -> Result<(Vec<Product>, String), Status> {
    let request = ListProductsRequest {
        page_size,
        page_token: token.to_owned(),
    };
    let page = client.list_products(request).await?.into_inner();
    Ok((page.products, page.next_page_token))
}

fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.unwrap_err().code()
}

#[tokio::test]
async fn the_catalogue_comes_in_pages() {
    let (_runtime, _place, mut client) = ready().await;
    let (mut skus, mut token, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let (products, next) = list(&mut client, 10, &token).await.unwrap();
        sizes.push(products.len());
        assert!(
            products
                .iter()
                .all(|product| product.available == 20 && product.price.is_some())
        );
        skus.extend(products.into_iter().map(|product| product.sku));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 4]);
    assert!(skus.is_sorted_by(|a, b| a < b), "{skus:?}");
    for (size, count) in [(0, 24), (24, 24), (1_000, 24), (23, 23)] {
        let (products, next) = list(&mut client, size, "").await.unwrap();
        assert_eq!(
            (products.len(), next.is_empty()),
            (count, count == 24),
            "page of {size}"
        );
    }
    assert_eq!(code(list(&mut client, -1, "").await), Code::InvalidArgument);
    assert_eq!(
        code(list(&mut client, 10, "espresso-cup").await),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn products_are_found_by_sku() {
    let (_runtime, _place, mut client) = ready().await;
    let skus = ["teapot", "unknown", "apron"].map(str::to_owned).to_vec();
    let found = client
        .get_products(GetProductsRequest { skus })
        .await
        .unwrap()
        .into_inner()
        .products;
    assert_eq!(
        found
            .iter()
            .map(|product| product.sku.as_str())
            .collect::<Vec<_>>(),
        ["apron", "teapot"]
    );
    for (count, good) in [(100, true), (101, false)] {
        let skus = vec!["teapot".to_owned(); count];
        assert_eq!(
            client
                .get_products(GetProductsRequest { skus })
                .await
                .is_ok(),
            good
        );
    }
}

#[tokio::test]
async fn an_order_is_reserved_then_sold() {
    let (_runtime, _place, mut client) = ready().await;
    let request = reserve(ORDER, &[("teapot", 2), ("apron", 1)]);
    for _ in 0..2 {
        let outcome = client
            .reserve(request.clone())
            .await
            .unwrap()
            .into_inner()
            .outcome;
        let Some(Outcome::Reserved(reserved)) = outcome else {
            panic!("{outcome:?}")
        };
        let lines = reserved.lines.into_iter().map(|line| {
            let price = line.unit_price.unwrap();
            (line.sku, line.quantity, price.amount_minor, price.currency)
        });
        let euros = "EUR".to_owned();
        let expected = [
            ("teapot".to_owned(), 2, 5_450, euros.clone()),
            ("apron".to_owned(), 1, 2_900, euros),
        ];
        assert_eq!(
            lines.collect::<Vec<_>>(),
            expected,
            "in the order of the request"
        );
    }
    client.commit(commit(ORDER, "message")).await.unwrap();
    let released = client.release(release(ORDER)).await.unwrap().into_inner();
    assert_eq!(released.outcome(), release_response::Outcome::Committed);
}

#[tokio::test]
async fn too_few_and_unknown_are_outcomes_not_errors() {
    let (_runtime, _place, mut client) = ready().await;
    let outcome = client
        .reserve(reserve(ORDER, &[("teapot", 21), ("apron", 1)]))
        .await
        .unwrap()
        .into_inner()
        .outcome;
    let Some(Outcome::OutOfStock(short)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(short.skus, ["teapot"]);
    let lines = short.lines.into_iter().map(|line| {
        let price = line.unit_price.expect("a price").amount_minor;
        (line.sku, line.quantity, price)
    });
    let expected = [
        ("teapot".to_owned(), 21, 5_450),
        ("apron".to_owned(), 1, 2_900),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    let outcome = client
        .reserve(reserve(ORDER, &[("zebra", 1), ("apron", 1)]))
        .await
        .unwrap()
        .into_inner()
        .outcome;
    assert!(
        matches!(&outcome, Some(Outcome::UnknownProduct(unknown)) if unknown.skus == ["zebra"]),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_released_order_is_refused() {
    let (_runtime, _place, mut client) = ready().await;
    assert_eq!(
        code(client.commit(commit(ORDER, "message")).await),
        Code::NotFound
    );
    let released = client.release(release(ORDER)).await.unwrap().into_inner();
    assert_eq!(released.outcome(), release_response::Outcome::Released);
    assert_eq!(
        code(client.reserve(reserve(ORDER, &[("teapot", 1)])).await),
        Code::FailedPrecondition
    );
    assert_eq!(
        code(client.commit(commit(ORDER, "message")).await),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_an_invalid_argument() {
    let (_runtime, _place, mut client) = ready().await;
    client
        .reserve(reserve(OTHER_ORDER, &[("teapot", 1)]))
        .await
        .unwrap();
    for request in [
        reserve("", &[("teapot", 1)]),
        reserve("order", &[("teapot", 1)]),
        reserve(ORDER, &[]),
        reserve(ORDER, &[("teapot", 0)]),
        reserve(ORDER, &[("teapot", 1_001)]),
        reserve(ORDER, &[("teapot", 1), ("teapot", 1)]),
        reserve(OTHER_ORDER, &[("teapot", 2)]),
    ] {
        assert_eq!(
            code(client.reserve(request.clone()).await),
            Code::InvalidArgument,
            "{request:?}"
        );
    }
    for request in [commit("", "message"), commit(ORDER, "")] {
        assert_eq!(code(client.commit(request).await), Code::InvalidArgument);
    }
    assert_eq!(
        code(client.release(release("")).await),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn without_its_store_it_waits_and_says_unavailable() {
    // Nothing listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let runtime = TestRuntime::new();
    let mut client = serve(
        &runtime,
        &format!("postgres://shop:hunter2@127.0.0.1:{port}/shop"),
    )
    .await;
    let status = list(&mut client, 0, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("127.0.0.1"), "{status}");
    assert_eq!(runtime.runtime().readiness().pending(), ["store"]);
}
