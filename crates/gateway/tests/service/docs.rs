//! The OpenAPI document and its page.

use std::collections::BTreeSet;

use http::Method;
use mesh_gateway::{INVENTORY, ORDERS};
use serde_json::Value;

use super::shop::{Ask, Shop};

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

/// Everything in `value`, itself included.
fn all(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    match value {
        Value::Array(items) => found.extend(items.iter().flat_map(all)),
        Value::Object(members) => found.extend(members.values().flat_map(all)),
        _ => {}
    }
    found
}

#[tokio::test]
async fn the_document_names_every_route_of_the_design() {
    let shop = Shop::open().await;
    let document = shop.document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let routes: BTreeSet<_> = operations(document)
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let design = [
        "GET /v1/products",
        "GET /v1/products/{sku}",
        "GET /v1/cart",
        "PUT /v1/cart/items/{sku}",
        "DELETE /v1/cart/items/{sku}",
        "POST /v1/orders",
        "GET /v1/orders",
        "GET /v1/orders/{id}",
        "POST /v1/orders/{id}/cancel",
    ];
    assert_eq!(routes, design.map(ToOwned::to_owned).into());
}

#[tokio::test]
async fn every_declared_call_is_made_by_a_route_and_every_route_makes_one() {
    let shop = Shop::open().await;
    let routes: BTreeSet<_> = operations(shop.document())
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let calls = ORDERS.calls.iter().chain(INVENTORY.calls);
    let handlers = calls
        .flat_map(|call| call.uses)
        .map(|used| used.handler.to_owned());
    assert_eq!(handlers.collect::<BTreeSet<_>>(), routes);
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let shop = Shop::open().await;
    let document = shop.document();
    let references: Vec<_> = all(document)
        .into_iter()
        .filter_map(|value| value.get("$ref"))
        .collect();
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_answer_in_the_document_is_described_whole() {
    let shop = Shop::open().await;
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(shop.document()) {
        let name = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{name}: its id is not its own"
        );
        assert!(operation["summary"].is_string(), "{name}");
        let parameters = operation["parameters"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for placeholder in path.split('/').filter(|part| part.starts_with('{')) {
            let declared = parameters.iter().any(|parameter| {
                parameter["in"] == "path"
                    && format!("{{{}}}", parameter["name"].as_str().unwrap()) == placeholder
            });
            assert!(declared, "{name}: {placeholder}");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let name = format!("{name}: {status}");
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{name}"
            );
            let media = if **status < *"400" {
                "application/json"
            } else {
                "application/problem+json"
            };
            assert!(
                response["content"][media]["schema"]["$ref"].is_string(),
                "{name}"
            );
            for header in ["x-request-id", "x-trace-id"] {
                assert!(
                    response["headers"][header]["schema"]["type"] == "string",
                    "{name}: {header}"
                );
            }
        }
        for status in ["400", "500", "502", "503", "504"] {
            assert!(
                operation["responses"][status].is_object(),
                "{name}: {status}"
            );
        }
    }
}

#[tokio::test]
async fn schemas_are_as_strict_as_the_gateway() {
    let shop = Shop::open().await;
    let schemas = &shop.document()["components"]["schemas"];
    for request in ["PlaceOrder", "SetQuantity", "Line"] {
        assert_eq!(schemas[request]["additionalProperties"], false, "{request}");
    }
    assert_eq!(
        schemas["PlaceOrder"]["required"],
        serde_json::json!(["payment_token"])
    );
    assert_eq!(
        schemas["PlaceOrder"]["properties"]["items"]["type"],
        "array"
    );
    assert_eq!(schemas["Line"]["properties"]["quantity"]["maximum"], 1000);
    assert_eq!(
        schemas["Money"]["required"],
        serde_json::json!(["currency", "amount_minor"])
    );
    for page in ["ProductPage", "OrderPage"] {
        assert_eq!(
            schemas[page]["properties"]["next_page_token"]["type"], "string",
            "{page}"
        );
        assert_eq!(
            schemas[page]["required"].as_array().unwrap().len(),
            1,
            "{page}"
        );
    }
    let problem: BTreeSet<_> = schemas["Problem"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let fields = [
        "type",
        "title",
        "status",
        "detail",
        "request_id",
        "trace_id",
    ]
    .map(ToOwned::to_owned);
    assert_eq!(problem, fields.iter().collect());
}

#[tokio::test]
async fn the_page_is_served_whole_from_the_binary() {
    let shop = Shop::open().await;
    for path in ["/docs", "/docs/"] {
        let page = shop.get(path).await.expect(200);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(
            !html.contains("http:") && !html.contains("https:") && !html.contains("\"//"),
            "fetches from outside"
        );
        let base = html
            .split("<base href=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let assets = html.split(" src=\"").chain(
            html.split("<link ")
                .flat_map(|link| link.split("href=\""))
                .skip(1),
        );
        let names: BTreeSet<_> = assets.filter_map(|rest| rest.split('"').next()).collect();
        let names = names.iter().filter(|name| {
            name.ends_with(".js") || name.ends_with(".css") || name.ends_with(".png")
        });
        let mut count = 0;
        for name in names {
            count += 1;
            let asset = shop.get(&format!("{base}{name}")).await.expect(200);
            assert!(!asset.body.is_empty(), "{name}");
        }
        assert_eq!(count, 6);
    }
    let script = shop.get("/docs/swagger-initializer.js").await.expect(200);
    let script = String::from_utf8(script.body.to_vec()).unwrap();
    assert!(
        script.contains("/openapi.json") && script.contains("\"validatorUrl\": \"none\""),
        "{script}"
    );
    shop.send(Ask::new(Method::POST, "/docs")).await.expect(405);
}
