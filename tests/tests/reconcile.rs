//! Orders whose payment is in doubt are brought to their end by one replica of orders, whoever is paused, killed or away.

use std::{path::Path, time::Duration};

use mesh_orders::testing::Etcd;
use mesh_tests::{Http, Metrics, Processes, ProcessesBuilder, Shop, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::time::{Instant, sleep_until};

/// For what takes seconds, on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a lease lasts by itself.
const LEASE: Duration = Duration::from_secs(5);
/// What goes with the lease: `/mesh/orders/reconciler`, in base64.
const LEASE_KEY: &str = "L21lc2gvb3JkZXJzL3JlY29uY2lsZXI=";
const REPLICAS: [&str; 2] = ["orders", "orders-2"];

async fn status(shop: &Shop, id: &str) -> String {
    let order = shop.get(&format!("/v1/orders/{id}")).await;
    order["status"].as_str().expect("a status").to_owned()
}

async fn becomes(shop: &Shop, id: &str, expected: &str) {
    eventually(LIMIT, expected, || async {
        let status = status(shop, id).await;
        (status == expected).then_some(()).ok_or(status)
    })
    .await;
}

/// Places an order that gets no answer in time; its id.
async fn pending(shop: &Shop, key: &str, sku: &str, token: &str) -> String {
    let placed = shop.order(key, sku, 1, token).send().await;
    let order = placed.expect_status(202).json();
    order["id"].as_str().expect("an id").to_owned()
}

/// How often the provider took money and gave it back.
async fn ledger(folder: &Path) -> (i64, i64) {
    let charges = payments(folder, "SELECT COUNT(*) FROM ledger WHERE kind = 'charge'");
    let refunds = payments(folder, "SELECT COUNT(*) FROM ledger WHERE kind = 'refund'");
    (charges.await, refunds.await)
}

/// A number from the store of payments.
async fn payments(folder: &Path, sql: &'static str) -> i64 {
    let file = folder.join(".mesh/payments.db");
    let mut payments = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("a database");
    let found = sqlx::query_scalar(sql).fetch_one(&mut payments).await;
    found.expect("a number")
}

#[tokio::test]
async fn a_silent_payment_is_settled_although_nobody_asks_again() {
    let mut processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let id = pending(&shop, "one", &sku, "tok_silent").await;
    becomes(&shop, &id, "confirmed").await;
    assert_eq!(ledger(processes.folder()).await, (1, 0));
    let again = shop.order("one", &sku, 1, "tok_silent").send().await;
    let again = again.expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json()["id"], id.as_str());
    processes.stop().await;
}

#[tokio::test]
async fn a_charge_that_is_paused_on_its_way_takes_no_money_for_a_failed_order() {
    let mut processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let (placed, paused) = tokio::join!(pending(&shop, "one", &sku, "tok_slow"), async {
        // The charge is with payments, and the money not taken yet.
        eventually(LIMIT, "the charge has arrived", || async {
            let metrics = processes.metrics("payments").await;
            let inside = metrics.sum("http_requests_in_flight", &[]);
            (inside > 0.0).then_some(()).ok_or(inside)
        })
        .await;
        processes.process("payments").pause();
        Instant::now()
    });
    sleep_until(paused + Duration::from_secs(10)).await;
    processes.process("payments").resume();
    let end = eventually(LIMIT, "the order is settled", || async {
        let status = status(&shop, &placed).await;
        if status == "pending" {
            Err(status)
        } else {
            Ok(status)
        }
    })
    .await;
    // Whichever was faster: the money is with whom it belongs to, and so is the cup.
    let stopped = eventually(LIMIT, "all is at rest", || async {
        let (charges, refunds) = ledger(processes.folder()).await;
        let sold = before - shop.available(&sku).await;
        let paid = charges - refunds;
        let expected = i64::from(end == "confirmed");
        let rest = paid == expected && sold == expected;
        rest.then_some(())
            .ok_or((end.clone(), charges, refunds, sold))
    });
    stopped.await;
}

/// Two replicas of payments: the one that has the charge is paused, the other is told to void it.
#[tokio::test]
async fn a_charge_that_arrives_after_its_order_was_given_up_takes_no_money() {
    let names = ["payments", "payments-2", "inventory", "orders", "orders-2"];
    let mut processes = Processes::only(&[&names[..], &["gateway"]].concat())
        .start()
        .await;
    if holder(&processes).await.0 == "orders" {
        processes.process("orders").stop().await;
        let what = "the one beside the other payments reconciles";
        eventually(LIMIT, what, || async {
            let terms = terms(&processes, "orders-2");
            (!terms.is_empty()).then_some(()).ok_or(terms)
        })
        .await;
        processes.start_again("orders").await;
    }
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let (id, ()) = tokio::join!(pending(&shop, "one", &sku, "tok_slow"), async {
        let started = "SELECT COUNT(*) FROM charge WHERE state = 'started'";
        eventually(LIMIT, "the charge has begun", || async {
            let count = payments(processes.folder(), started).await;
            (count == 1).then_some(()).ok_or(count)
        })
        .await;
        processes.process("payments").pause();
    });
    becomes(&shop, &id, "failed").await;
    eventually(LIMIT, "the stock is free again", || async {
        let now = shop.available(&sku).await;
        (now == before).then_some(()).ok_or(now)
    })
    .await;

    processes.process("payments").resume();
    eventually(LIMIT, "the charge has ended", || async {
        let metrics = processes.metrics("payments").await;
        let inside = metrics.sum("http_requests_in_flight", &[]);
        (inside == 0.0).then_some(()).ok_or(inside)
    })
    .await;
    // Waits for what must be finished although its caller is gone.
    processes.process("payments").stop().await;
    assert_eq!(ledger(processes.folder()).await, (0, 0));
    assert_eq!(status(&shop, &id).await, "failed");
}

#[tokio::test]
async fn a_refund_that_cannot_be_made_is_tried_again_for_ever_and_seen() {
    let mut processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let placed = shop.order("one", &sku, 1, "tok_ok").send().await;
    let placed = placed.expect_status(201).json();
    processes.process("payments").pause();
    let cancelled = shop.cancel(placed["id"].as_str().expect("an id")).await;
    assert_eq!(cancelled.expect_status(200).json()["status"], "cancelled");

    let due = |metrics: &Metrics| {
        ["reconcile_pending", "reconcile_lag_seconds"]
            .map(|name| metrics.sum(name, &[("work", "refund")]))
    };
    eventually(LIMIT, "it is tried again, and its age is shown", || async {
        let metrics = processes.metrics("orders").await;
        let refunds = [("peer", "payments"), ("method", "Refund")];
        let tries = metrics.sum("client_requests_total", &refunds);
        let [pending, lag] = due(&metrics);
        (tries >= 3.0 && pending == 1.0 && lag >= 5.0)
            .then_some(())
            .ok_or((tries, pending, lag))
    })
    .await;
    assert!(!said(&processes, "orders", "trying again in 1s").is_empty());
    processes.process("payments").resume();
    eventually(LIMIT, "nothing is left to do", || async {
        let left = due(&processes.metrics("orders").await);
        (left == [0.0, 0.0]).then_some(()).ok_or(left)
    })
    .await;
    assert_eq!(ledger(processes.folder()).await, (1, 1));
}

#[tokio::test]
async fn a_charge_that_died_on_its_way_is_voided_and_the_stock_is_free_again() {
    let mut processes = Processes::start().await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let (id, ()) = tokio::join!(pending(&shop, "one", &sku, "tok_slow"), async {
        eventually(LIMIT, "the charge has arrived", || async {
            let metrics = processes.metrics("payments").await;
            let inside = metrics.sum("http_requests_in_flight", &[]);
            (inside > 0.0).then_some(()).ok_or(inside)
        })
        .await;
        processes.kill("payments").await;
    });
    becomes(&shop, &id, "failed").await;
    assert_eq!(ledger(processes.folder()).await, (0, 0));
    eventually(LIMIT, "the stock is free again", || async {
        let now = shop.available(&sku).await;
        (now == before).then_some(()).ok_or(now)
    })
    .await;
    let again = shop.order("one", &sku, 1, "tok_slow").send().await;
    let again = again.expect_status(402);
    assert_eq!(again.header("idempotent-replayed"), "true");
}

/// Two replicas of orders on one PostgreSQL, and the lease at `etcd`; the URL of the store too.
async fn two_replicas(etcd: &Etcd) -> (ProcessesBuilder, String) {
    let store = mesh_store::testing::postgres().await;
    let names = ["payments", "inventory", "orders", "orders-2", "gateway"];
    let builder = Processes::only(&names)
        .set_of("orders", "MESH_STORE_URL", &store)
        .set_of("orders", "MESH_LEASE_URL", etcd.url());
    (builder, store)
}

/// The tokens under which a replica has reconciled, as its log says.
fn terms(processes: &Processes, name: &str) -> Vec<i64> {
    said(processes, name, "reconciling")
        .iter()
        .map(|line| line["token"].as_i64().expect("a number"))
        .collect()
}

fn said(processes: &Processes, name: &str, message: &str) -> Vec<Value> {
    let mut lines = processes.logs(name);
    lines.retain(|line| line["message"] == message);
    lines
}

/// The replica that reconciles, and the other one.
async fn holder(processes: &Processes) -> (&'static str, &'static str) {
    let [one, two] = REPLICAS;
    eventually(LIMIT, "one reconciles", || async {
        match REPLICAS.map(|name| terms(processes, name).len()) {
            [1, 0] => Ok((one, two)),
            [0, 1] => Ok((two, one)),
            terms => Err(terms),
        }
    })
    .await
}

/// The lease of whoever reconciles.
async fn lease(etcd: &Etcd) -> Option<String> {
    let url = etcd.url();
    let address = url.strip_prefix("etcd://").expect("an etcd");
    let etcd = Http::new(address.parse().expect("an address"));
    let question = etcd.post("/v3/kv/range").json(&json!({ "key": LEASE_KEY }));
    let found = question.send().await.expect_status(200).json();
    found["kvs"][0]["lease"].as_str().map(str::to_owned)
}

async fn number(store: &str, sql: &'static str) -> i64 {
    let mut store = PgConnection::connect(store).await.expect("it runs");
    let found = sqlx::query_scalar(sql).fetch_one(&mut store).await;
    found.expect("a number")
}

/// The terms of one and of its successor, whose first is newer.
fn succeeded(processes: &Processes, first: &str, second: &str) -> [Vec<i64>; 2] {
    let [old, new] = [first, second].map(|name| terms(processes, name));
    assert!(old[0] < new[0], "{old:?}, {new:?}");
    [old, new]
}

/// The one order there is was charged and told of once.
async fn confirmed_once(processes: &Processes, store: &str) {
    let messages = "SELECT COUNT(*) FROM orders.outbox";
    assert_eq!(number(store, messages).await, 1);
    assert_eq!(ledger(processes.folder()).await, (1, 0));
}

#[tokio::test]
async fn a_holder_that_is_paused_beyond_its_lease_is_replaced_and_does_nothing_any_more() {
    let etcd = Etcd::start();
    let (builder, store) = two_replicas(&etcd).await;
    let mut processes = builder.start().await;
    let (first, second) = holder(&processes).await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    pending(&shop, "one", &sku, "tok_silent").await;

    processes.process(first).pause();
    let paused = Instant::now();
    eventually(LIMIT, "the other reconciles", || async {
        let terms = terms(&processes, second);
        (terms.len() == 1).then_some(()).ok_or(terms)
    })
    .await;
    // The time to live and a second, on a machine that does nothing else.
    let took = paused.elapsed();
    println!("taken over after {took:.1?}");
    assert!(took < 10 * LEASE, "{took:?}");
    let settled = "SELECT COUNT(*) FROM orders.orders WHERE status = 'confirmed'";
    eventually(LIMIT, "the order is settled", || async {
        let settled = number(&store, settled).await;
        (settled == 1).then_some(()).ok_or(settled)
    })
    .await;
    processes.process(first).resume();
    eventually(LIMIT, "it has noticed", || async {
        let over = said(&processes, first, "no longer reconciling");
        (over.len() == 1).then_some(()).ok_or(over)
    })
    .await;

    let [old, new] = succeeded(&processes, first, second);
    let fence = "SELECT token FROM orders.fences WHERE name = 'reconciler'";
    assert_eq!(number(&store, fence).await, new[0]);
    // Its next term would be a newer one.
    assert_eq!(old.len(), 1, "the other still holds the lease");
    confirmed_once(&processes, &store).await;
    assert_eq!(said(&processes, second, "no longer reconciling").len(), 0);
    processes.stop().await;
}

/// To the holder its lease is as good as ever, by its own clock and by etcd; only the store knows better.
#[tokio::test]
async fn a_holder_that_does_not_know_of_its_successor_is_refused_by_the_store() {
    let etcd = Etcd::start();
    let (builder, store) = two_replicas(&etcd).await;
    let mut processes = builder.start().await;
    let (first, second) = holder(&processes).await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let id = pending(&shop, "one", &sku, "tok_silent").await;

    // `/mesh/orders/reconciler`, without its lease.
    let address = etcd.url().trim_start_matches("etcd://").parse();
    let etcd_itself = Http::new(address.expect("host and port"));
    let key = json!({ "key": "L21lc2gvb3JkZXJzL3JlY29uY2lsZXI=" });
    let gone = etcd_itself.post("/v3/kv/deleterange").json(&key).send();
    assert_eq!(gone.await.expect_status(200).json()["deleted"], "1");
    eventually(LIMIT, "the holder is refused", || async {
        let refused = said(&processes, first, "a write was refused");
        let over = said(&processes, first, "no longer reconciling");
        let known = over
            .iter()
            .any(|line| line["over"] == "another has a newer lease");
        (!refused.is_empty() && known)
            .then_some(())
            .ok_or((refused, over))
    })
    .await;
    succeeded(&processes, first, second);

    becomes(&shop, &id, "confirmed").await;
    confirmed_once(&processes, &store).await;
    assert_eq!(said(&processes, second, "no longer reconciling").len(), 0);
    processes.stop().await;
}

#[tokio::test]
async fn a_holder_that_stops_hands_over_and_without_etcd_orders_goes_on_serving() {
    let mut etcd = Etcd::start();
    let (builder, _) = two_replicas(&etcd).await;
    let mut processes = builder.start().await;
    let (first, second) = holder(&processes).await;

    etcd.kill();
    for name in REPLICAS {
        let what = format!("{name} says that nobody can tell");
        eventually(LIMIT, &what, || async {
            let told = "nobody can say who reconciles, trying again";
            let lines = said(&processes, name, told);
            (!lines.is_empty()).then_some(()).ok_or(lines)
        })
        .await;
    }
    assert_eq!(said(&processes, first, "no longer reconciling").len(), 1);
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let placed = shop.order("one", &sku, 1, "tok_ok").send().await;
    assert_eq!(placed.status, 201);
    let id = pending(&shop, "two", &sku, "tok_silent").await;
    let held = terms(&processes, first).len() + terms(&processes, second).len();
    assert_eq!((status(&shop, &id).await.as_str(), held), ("pending", 1));

    etcd.start_again();
    becomes(&shop, &id, "confirmed").await;
    let now = REPLICAS.map(|name| {
        let over = said(&processes, name, "no longer reconciling").len();
        terms(&processes, name).len() > over
    });
    let [holder, other] = if now[0] {
        REPLICAS
    } else {
        [REPLICAS[1], REPLICAS[0]]
    };
    let before = terms(&processes, other).len();
    let lease = lease(&etcd).await;
    assert!(lease.is_some(), "{holder} has one");
    processes.process(holder).stop().await;
    // One that is not given up lasts for some seconds more.
    assert_ne!(self::lease(&etcd).await, lease, "it is given up");
    eventually(LIMIT, "the other takes over", || async {
        let terms = terms(&processes, other);
        (terms.len() > before).then_some(()).ok_or(terms)
    })
    .await;
}
