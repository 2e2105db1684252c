//! Every metric there is: processes show most of theirs only once they had a reason to.

use serde_json::json;

use crate::{Collector, Metrics, Processes, Shop};

const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];

/// What each process shows after an order, and after a call that was not started.
pub async fn metrics_after_some_use() -> Vec<(&'static str, Metrics)> {
    let collector = Collector::start();
    let processes = Processes::only(&PROCESSES)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let _placed = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);

    // A call that is not started.
    let hurried = Processes::only(&["gateway"])
        .set("MESH_TRUST_EDGE_HEADERS", "true")
        .start()
        .await;
    let late = hurried
        .gateway()
        .post("/v1/orders")
        .header("grpc-timeout", "30m")
        .header("idempotency-key", "one");
    let body = json!({ "items": [{ "sku": sku, "quantity": 1 }], "payment_token": "tok_ok" });
    let _late = late.json(&body).send().await.expect_status(504);

    let mut metrics = vec![("gateway", hurried.metrics("gateway").await)];
    for name in PROCESSES {
        metrics.push((name, processes.metrics(name).await));
    }
    metrics
}
