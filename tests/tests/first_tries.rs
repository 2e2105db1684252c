//! Between real services, each with its sidecar: the first try of every call that may be repeated goes wrong, in the sidecar of
//! whoever is called. Customers do not notice, and every such call is repeated exactly once. The first try of every other call
//! goes wrong as well: it is the only one.

use std::time::Duration;

use mesh_manifests::Fault;
use mesh_tests::{
    Shop,
    envoy::{ENVOYS, Istio, Meshed},
    eventually, rpc,
};
use serde_json::{Value, json};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Who is called by whom, and what of it may be repeated.
const PEERS: [(&str, &[&str], &[&str]); 3] = [
    (
        "orders",
        &["gateway", "fulfillment"],
        &[rpc::GET_ORDER, rpc::LIST_ORDERS, rpc::MARK_FULFILLED],
    ),
    (
        "inventory",
        &["gateway", "orders", "fulfillment"],
        &[
            rpc::LIST_PRODUCTS,
            rpc::GET_PRODUCTS,
            rpc::RESERVE,
            rpc::RELEASE,
            rpc::COMMIT,
        ],
    ),
    ("payments", &["orders"], &[rpc::GET_CHARGE]),
];

#[tokio::test]
async fn customers_do_not_notice_that_first_tries_go_wrong() {
    // Every call that fails with the one Envoy is slow with the other.
    let [one, other] = ENVOYS;
    tokio::join!(first_tries_on(one, 0), first_tries_on(other, 1));
}

async fn first_tries_on(version: &str, turn: usize) {
    let faults = [
        json!({ "abort": { "grpcStatus": "UNAVAILABLE" } }),
        json!({ "delay": { "fixedDelay": "10s" } }),
    ];
    let istio = Istio::of_the_shop();
    let mut mesh = Meshed::with(version, &istio).fulfilled();
    let rpcs = PEERS.iter().flat_map(|(_, _, rpcs)| *rpcs);
    for (index, rpc) in rpcs.enumerate() {
        let fault = &faults[(index + turn) % faults.len()];
        mesh = mesh.first_try(rpc, fault_of(fault));
    }
    let mut mesh = mesh.start().await;
    every_call_of_the_shop(&mut mesh).await;
    for (peer, callers, rpcs) in PEERS {
        every_call_was_repeated_once(version, &mesh, peer, callers, rpcs).await;
    }
}

#[tokio::test]
async fn what_is_tried_once_is_not_repeated() {
    let [one, other] = ENVOYS;
    tokio::join!(once_on(one), once_on(other));
}

async fn once_on(version: &str) {
    let istio = Istio::of_the_shop();
    let refused = || fault_of(&json!({ "abort": { "grpcStatus": "UNAVAILABLE" } }));

    let mesh = Meshed::with(version, &istio).first_try(rpc::PLACE_ORDER, refused());
    let mesh = mesh.start().await;
    let shop = Shop::with_session(mesh.entry()).await;
    let sku = shop.first_sku().await;
    let order = shop.order("one", &sku, 1, "tok_ok").send().await;
    let _refused = order.expect_status(503);
    refused_and_not_repeated(version, &mesh, ("gateway", "orders"), 1).await;

    let mut mesh = Meshed::with(version, &istio);
    for rpc in [rpc::CANCEL_ORDER, rpc::CHARGE, rpc::REFUND] {
        mesh = mesh.first_try(rpc, refused());
    }
    let mesh = mesh.start().await;
    let shop = Shop::with_session(mesh.entry()).await;
    // Whether it was charged is not known; the reconciler finds out that it was not, and voids it with a refund.
    let id = placed(&shop, "two", &sku, ("tok_ok", 202)).await;
    let _refused = shop.cancel(&id).await.expect_status(503);
    refused_and_not_repeated(version, &mesh, ("gateway", "orders"), 1).await;
    refused_and_not_repeated(version, &mesh, ("orders", "payments"), 2).await;
}

/// The peer's sidecar has refused so many calls at least, and the caller's has made none of them again.
async fn refused_and_not_repeated(
    version: &str,
    mesh: &Meshed,
    (caller, peer): (&str, &str),
    calls: u64,
) {
    let what = format!("{version}: {calls} calls of {peer} are refused");
    let name = format!("http.inbound_{peer}.fault.aborts_injected");
    eventually(LIMIT, &what, async || {
        match mesh.sidecar(peer).stat(&name).await {
            refused if refused >= calls => Ok(()),
            refused => Err(refused),
        }
    })
    .await;
    let name = format!("cluster.{peer}.upstream_rq_retry");
    let repeated = mesh.sidecar(caller).stat(&name).await;
    assert_eq!(repeated, 0, "{version}: {caller} to {peer}");
}

fn fault_of(fault: &Value) -> Fault {
    serde_json::from_value(fault.clone()).expect("a fault")
}

/// What customers do, so that every RPC is called: buy, cancel, pay with a card whose bank does not answer, look.
async fn every_call_of_the_shop(mesh: &mut Meshed) {
    // What is cancelled must not be fulfilled before.
    mesh.processes().process("fulfillment").pause();
    let shop = Shop::with_session(mesh.entry()).await;
    let sku = shop.first_sku().await;
    let _found = shop.get(&format!("/v1/products/{sku}")).await;
    let kept = placed(&shop, "kept", &sku, ("tok_ok", 201)).await;
    let cancelled = placed(&shop, "cancelled", &sku, ("tok_ok", 201)).await;
    let _order = shop.cancel(&cancelled).await.expect_status(200);
    let unknown = placed(&shop, "unknown", &sku, ("tok_silent", 202)).await;
    status(&shop, &unknown, "confirmed").await;
    let _list = shop.get("/v1/orders").await;
    mesh.processes().process("fulfillment").resume();
    status(&shop, &kept, "fulfilled").await;
}

/// Places an order and returns its id.
async fn placed(shop: &Shop, key: &str, sku: &str, (token, status): (&str, u16)) -> String {
    let order = shop.order(key, sku, 1, token).send().await;
    let order = order.expect_status(status);
    order.json()["id"].as_str().expect("an id").to_owned()
}

async fn status(shop: &Shop, id: &str, wanted: &str) {
    let path = format!("/v1/orders/{id}");
    eventually(LIMIT, &format!("the order is {wanted}"), async || {
        let order = shop.get(&path).await;
        let status = order["status"].as_str().unwrap_or_default().to_owned();
        // It may be further already.
        if [wanted, "fulfilled"].contains(&status.as_str()) {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}

/// First tries do not reach the process: it has handled as many calls as its callers' sidecars have repeated.
async fn every_call_was_repeated_once(
    version: &str,
    mesh: &Meshed,
    peer: &str,
    callers: &[&str],
    rpcs: &[&str],
) {
    let what = format!("{version}: calls of {peer} are repeated once each");
    eventually(LIMIT, &what, async || {
        let metrics = mesh.metrics(peer).await;
        let handled: Vec<_> = rpcs
            .iter()
            .map(|rpc| (*rpc, metrics.sum("http_requests_total", &[("route", rpc)])))
            .collect();
        let mut repeated = 0;
        for caller in callers {
            let name = format!("cluster.{peer}.upstream_rq_retry");
            repeated += mesh.sidecar(caller).stat(&name).await;
        }
        let all_called = handled.iter().all(|(_, calls)| *calls > 0.0);
        let sum: f64 = handled.iter().map(|(_, calls)| calls).sum();
        // Small numbers of calls are exact.
        if all_called && format!("{sum}") == repeated.to_string() {
            Ok(())
        } else {
            Err((handled, repeated))
        }
    })
    .await;
}
