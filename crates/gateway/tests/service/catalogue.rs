//! Products, and paging.

use serde_json::json;
use tonic::Status;

use super::{fakes::catalogue, shop::Shop};

#[tokio::test]
async fn the_catalogue_comes_in_pages_until_there_is_no_token() {
    let shop = Shop::open().await;
    let (mut skus, mut path) = (Vec::new(), "/v1/products?page_size=25".to_owned());
    let mut sizes = Vec::new();
    loop {
        let page = shop.get(&path).await.expect(200).json();
        let products = page["products"].as_array().unwrap();
        sizes.push(products.len());
        skus.extend(
            products
                .iter()
                .map(|product| product["sku"].as_str().unwrap().to_owned()),
        );
        let Some(token) = page.get("next_page_token") else {
            break;
        };
        path = format!(
            "/v1/products?page_size=25&page_token={}",
            token.as_str().unwrap()
        );
    }
    assert_eq!(sizes, [25, 25, 10]);
    assert!(skus.iter().eq(catalogue().keys()));
}

#[tokio::test]
async fn a_page_is_of_fifty_and_of_a_hundred_at_most() {
    let shop = Shop::open().await;
    for (query, size) in [
        ("", 50),
        ("?page_size=1", 1),
        ("?page_size=100", 100),
        ("?page_size=101", 100),
        ("?page_size=99999999999999999999999", 100),
    ] {
        shop.get(&format!("/v1/products{query}")).await.expect(200);
        assert_eq!(
            shop.inventory.list.asked().pop().unwrap().page_size,
            size,
            "{query}"
        );
    }
}

#[tokio::test]
async fn paging_that_makes_no_sense_is_400() {
    let shop = Shop::open().await;
    for route in ["/v1/products", "/v1/orders"] {
        for query in [
            "page_size=0",
            "page_size=-1",
            "page_size=+5",
            "page_size=1.5",
            "page_size=ten",
            "page_size=",
            "page_size",
            "page_size=1&page_size=1",
            "page_size=%ff",
            "page_token=",
            "page_token=%00",
            "page_token=a&page_token=a",
            "page_token=%F0%9F%8D%B5",
        ] {
            shop.get(&format!("{route}?{query}")).await.expect(400);
        }
    }
    assert!(shop.inventory.list.asked().is_empty() && shop.orders.list.asked().is_empty());
    shop.get("/v1/products?page_token=foreign")
        .await
        .expect(400);
    shop.orders
        .list
        .answer(|_| Err(Status::invalid_argument("page token")));
    shop.get("/v1/orders?page_token=foreign").await.expect(400);
    shop.get("/v1/products?colour=red").await.expect(200);
}

#[tokio::test]
async fn a_product_is_as_designed() {
    let shop = Shop::open().await;
    let product = shop.get("/v1/products/P-07").await.expect(200).json();
    let expected = json!({
        "sku": "P-07", "name": "Product 7", "description": "Something.",
        "price": {"currency": "EUR", "amount_minor": 7}, "available": 1000
    });
    assert_eq!(product, expected);
    let same = shop.get("/v1/products/%50-07").await.expect(200).json();
    assert_eq!(same, expected);
}

#[tokio::test]
async fn what_is_oversold_is_not_shown_as_less_than_nothing() {
    let shop = Shop::open().await;
    shop.inventory.get.answer(|_| {
        let mut product = catalogue()["P-07"].clone();
        product.available = -3;
        Ok(mesh_proto::inventory::v1::GetProductsResponse {
            products: vec![product],
        })
    });
    assert_eq!(
        shop.get("/v1/products/P-07").await.expect(200).json()["available"],
        0
    );
}

#[tokio::test]
async fn what_is_no_product_is_404_and_mostly_nobody_is_asked() {
    let shop = Shop::open().await;
    shop.get("/v1/products/NOPE").await.expect(404);
    assert_eq!(shop.inventory.get.asked().len(), 1);
    let long = "x".repeat(4000);
    for sku in [
        "%ff",
        "%zz%00",
        "a%20b",
        "%E2%98%95",
        "a/b",
        "a%00",
        "",
        &long,
    ] {
        shop.get(&format!("/v1/products/{sku}")).await.expect(404);
    }
    shop.get("/v1/products/a%2Fb").await.expect(404);
    assert_eq!(shop.inventory.get.asked().len(), 2);
}
