//! Confirmed orders are fulfilled once each, whatever happens to the workers, the queue, or the customer's mind.

use std::{future::Future, time::Duration};

use mesh_messaging::testing::{self, LIMIT, Place, RabbitMq};
use mesh_tests::{
    Collector, Mesh, Metrics, Processes, ProcessesBuilder, Shop, SpanRecord, eventually,
};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tokio::{task::JoinSet, time::Instant};

const COMMIT: &str = "shop.inventory.v1.InventoryService/Commit";
const MARK_FULFILLED: &str = "shop.orders.v1.OrdersService/MarkFulfilled";
/// What a worker needs to stop beside its work: as promised of a release build, ten times that else.
const AFTER_WORK: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Everything, with the queue at this place.
fn everything(place: &str) -> ProcessesBuilder {
    Processes::only(&["payments", "inventory", "orders", "gateway", "fulfillment"])
        .set("MESH_QUEUE_URL", place)
}

/// The ids of so many new orders of one piece, placed at once.
async fn place_orders(shop: &Shop, sku: &str, keys: std::ops::Range<u32>) -> Vec<String> {
    let mut orders = JoinSet::new();
    for n in keys {
        let order = shop.order(&format!("order-{n}"), sku, 1, "tok_ok");
        orders.spawn(async move {
            let placed = order.send().await.expect_status(201).json();
            placed["id"].as_str().expect("an id").to_owned()
        });
    }
    orders.join_all().await
}

async fn status(shop: &Shop, id: &str) -> String {
    let order = shop.get(&format!("/v1/orders/{id}")).await;
    order["status"].as_str().expect("a status").to_owned()
}

/// How many of the orders are fulfilled now.
async fn count_fulfilled(shop: &Shop, ids: &[String]) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(status(shop, id).await == "fulfilled");
    }
    count
}

async fn all_fulfilled(shop: &Shop, ids: &[String]) {
    eventually(2 * LIMIT, "every order is fulfilled", || async {
        let count = count_fulfilled(shop, ids).await;
        (count == ids.len()).then_some(()).ok_or(count)
    })
    .await;
}

async fn orders_are_fulfilled_by_several_replicas_once_each(place: Place) {
    const REPLICAS: [&str; 3] = ["fulfillment", "fulfillment-2", "fulfillment-3"];
    let names = ["payments", "inventory", "orders", "gateway"];
    let mut processes = Processes::only(&[&names[..], &REPLICAS].concat())
        .set("MESH_QUEUE_URL", place.url())
        .set_of("fulfillment", "MESH_WORK_TIME", "5ms")
        .set_of("fulfillment", "MESH_PREFETCH", "2")
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let ids = place_orders(&shop, &sku, 0..20).await;
    all_fulfilled(&shop, &ids).await;
    assert_eq!(shop.available(&sku).await, before - 20);
    eventually(LIMIT, "the outbox is empty", || async {
        let pending = processes.metrics("orders").await.sum("outbox_pending", &[]);
        (pending == 0.0).then_some(()).ok_or(pending)
    })
    .await;
    let mut acked = 0.0;
    for name in REPLICAS {
        let metrics = processes.metrics(name).await;
        let label = [("queue", "fulfillment"), ("outcome", "acked")];
        acked += metrics.sum("queue_messages_consumed_total", &label);
    }
    assert!((acked - 20.0).abs() < f64::EPSILON, "{acked}");
    processes.stop().await;
}

mesh_messaging::on_each_queue!(
    orders_are_fulfilled_by_several_replicas_once_each,
    one_trace_leads_through_the_queue,
    one_trace_leads_through_the_queue_after_a_crash_in_mid_message,
    a_worker_that_is_scaled_in_finishes_what_it_has,
);

/// The span of that kind and name.
fn find<'s>(spans: &'s [SpanRecord], service: &str, kind: &str, name: &str) -> &'s SpanRecord {
    let found = spans
        .iter()
        .find(|span| span.service == service && span.kind == kind && span.name == name);
    found.unwrap_or_else(|| panic!("no {service} {kind} {name} in {spans:#?}"))
}

/// From the work on the message on; the span of that work.
fn leads_to_inventory_and_orders(spans: &[SpanRecord]) -> &SpanRecord {
    let work = find(spans, "fulfillment", "Consumer", "process fulfillment");
    for (peer, rpc) in [("inventory", COMMIT), ("orders", MARK_FULFILLED)] {
        let call = find(spans, "fulfillment", "Client", rpc);
        assert_eq!(call.parent, work.span_id, "{call:#?}");
        assert_eq!(find(spans, peer, "Server", rpc).parent, call.span_id);
    }
    work
}

fn leads_to_the_queue(spans: &[SpanRecord]) -> &SpanRecord {
    let gateway = find(spans, "gateway", "Server", "POST /v1/orders");
    assert_eq!(gateway.parent, "", "{gateway:#?}");
    let placing = "shop.orders.v1.OrdersService/PlaceOrder";
    let placing = find(spans, "orders", "Server", placing);
    let publishing = find(spans, "orders", "Producer", "publish shop");
    assert_eq!(publishing.parent, placing.span_id, "{publishing:#?}");
    publishing
}

async fn one_trace_leads_through_the_queue(place: Place) {
    let collector = Collector::start();
    let mut processes = everything(place.url())
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let order = shop.order("one", &sku, 1, "tok_ok").send().await;
    let placed = order.expect_status(201);
    let id = placed.json()["id"].as_str().expect("an id").to_owned();
    all_fulfilled(&shop, &[id]).await;
    let trace_id = placed.header("x-trace-id").to_owned();
    // Spans are flushed on the way out.
    processes.stop().await;

    let spans = collector.trace(&trace_id);
    let published = leads_to_the_queue(&spans);
    let work = leads_to_inventory_and_orders(&spans);
    assert_eq!(work.parent, published.span_id, "{work:#?}");
    let lines = processes.logs("fulfillment");
    let line = lines
        .iter()
        .find(|line| line["trace_id"] == trace_id.as_str());
    let line = line.unwrap_or_else(|| panic!("no line of the message in {lines:#?}"));
    assert_eq!(line["request_id"], placed.header("x-request-id"));
    assert_eq!(line["span_id"], work.span_id.as_str());
}

async fn one_trace_leads_through_the_queue_after_a_crash_in_mid_message(place: Place) {
    let collector = Collector::start();
    let mesh = Mesh::builder()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .set("MESH_QUEUE_URL", place.url())
        .set("MESH_WORK_TIME", "1500ms")
        .start()
        .await;
    let shop = Shop::new(mesh.gateway());
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let order = shop.order("one", &sku, 2, "tok_ok").send().await;
    let placed = order.expect_status(201);
    let id = placed.json()["id"].as_str().expect("an id").to_owned();
    published(1, async || mesh.metrics("orders").await).await;
    in_hand(place.url(), 0).await;
    mesh.kill(&mesh.member("fulfillment"));
    assert_eq!(status(&shop, &id).await, "confirmed", "in mid-message");
    all_fulfilled(&shop, &[id]).await;
    assert_eq!(shop.available(&sku).await, before - 2);
    mesh.stop().await;

    let spans = collector.trace(placed.header("x-trace-id"));
    leads_to_the_queue(&spans);
    let work = leads_to_inventory_and_orders(&spans);
    assert_eq!(work.attributes["mesh.message.attempt"], "2");
    assert_eq!(work.parent, "", "a second delivery is only linked");
}

/// Waits until orders has published so many messages.
async fn published(messages: u32, orders: impl AsyncFn() -> Metrics) {
    eventually(LIMIT, "the messages are published", || async {
        let published = orders().await.sum("queue_messages_published_total", &[]);
        (published == f64::from(messages))
            .then_some(())
            .ok_or(published)
    })
    .await;
}

/// Waits until at most so many messages are in nobody's hand.
async fn in_hand(url: &str, left: u64) -> testing::Process {
    let process = testing::Process::start(&testing::config(url));
    process.connected().await;
    eventually(LIMIT, "messages are taken", || async {
        let depth = process
            .queue
            .depth()
            .await
            .map_err(|error| error.to_string())?;
        (depth.ready <= left)
            .then_some(())
            .ok_or(format!("{depth:?}"))
    })
    .await;
    process
}

async fn a_worker_that_is_scaled_in_finishes_what_it_has(place: Place) {
    const ORDERS: u32 = 12;
    const PREFETCH: u32 = 2;
    // All of them are more work than it has time for before it is told.
    const WORK: Duration = Duration::from_secs(1);
    let mut processes = everything(place.url())
        .set_of("fulfillment", "MESH_WORK_TIME", "1s")
        .set_of("fulfillment", "MESH_PREFETCH", PREFETCH.to_string())
        // The cluster's own, which a process without listener has no use for.
        .set_of("fulfillment", "MESH_DRAIN_DELAY", "30s")
        .set_of("fulfillment", "MESH_DRAIN_TIMEOUT", "60s")
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let ids = place_orders(&shop, &sku, 0..ORDERS).await;
    published(ORDERS, async || processes.metrics("orders").await).await;
    let other = in_hand(place.url(), u64::from(ORDERS - PREFETCH)).await;

    let worker = processes.process("fulfillment");
    let told = Instant::now();
    worker.terminate();
    let exit = worker.wait().await;
    let drained = told.elapsed();
    assert_eq!(exit.code, Some(0), "{}", exit.errors);
    let bound = WORK * PREFETCH + AFTER_WORK;
    assert!(drained <= bound, "drained in {drained:?}, not {bound:?}");
    let logs = processes.logs("fulfillment");
    let after = logs.iter().skip_while(|line| line["message"] != "draining");
    let worked_on = after.filter(|line| line["message"] == "message").count();
    assert!(
        (1..=PREFETCH as usize + 1).contains(&worked_on),
        "{worked_on}"
    );

    // What it did not take is as new, and nothing is left in its hand.
    let fulfilled = count_fulfilled(&shop, &ids).await;
    assert!(fulfilled < ids.len(), "it has taken all of them");
    let mut consumer = other.consumer(1);
    for _ in fulfilled..ids.len() {
        let delivery = testing::within(consumer.next()).await.expect("not stopped");
        assert_eq!(delivery.attempt(), 1);
        delivery.ack().await.expect("it is ours");
    }
    let depth = other.queue.depth().await.expect("the queue is there");
    assert_eq!((depth.ready, depth.dead), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_orders_are_placed_and_fulfilled_when_it_is_back() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    let processes = everything(place.url())
        .set_of("fulfillment", "MESH_WORK_TIME", "20ms")
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let mut ids = place_orders(&shop, &sku, 0..5).await;
    broker.ctl("stop_app");
    ids.extend(place_orders(&shop, &sku, 5..10).await);
    eventually(LIMIT, "the outbox holds them", || async {
        let metrics = processes.metrics("orders").await;
        let (pending, lag) = ["outbox_pending", "outbox_lag_seconds"]
            .map(|name| metrics.sum(name, &[("queue", "fulfillment")]))
            .into();
        (pending >= 5.0 && lag > 0.0)
            .then_some(())
            .ok_or((pending, lag))
    })
    .await;
    broker.ctl("start_app");
    all_fulfilled(&shop, &ids).await;
    assert_eq!(shop.available(&sku).await, before - 10);
    let depth = place.process().await.queue.depth().await;
    assert_eq!(depth.expect("the broker is back").dead, 0);
}

#[tokio::test]
async fn an_order_is_either_cancelled_and_refunded_or_fulfilled() {
    const ORDERS: i64 = 30;
    let place = Place::file();
    let processes = everything(place.url())
        .set_of("fulfillment", "MESH_WORK_TIME", "1ms")
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let before = shop.available(&sku).await;
    let mut cancelled = 0;
    for n in 0..ORDERS {
        let order = shop.order(&format!("order-{n}"), &sku, 1, "tok_ok");
        let placed = order.send().await.expect_status(201).json();
        let id = placed["id"].as_str().expect("an id");
        // At different moments of its way.
        for _ in 0..n % 6 {
            status(&shop, id).await;
        }
        let answer = shop.cancel(id).await;
        let expected = match answer.status {
            200 => "cancelled",
            409 => "fulfilled",
            other => panic!("{other}: {}", answer.text()),
        };
        cancelled += i64::from(answer.status == 200);
        eventually(LIMIT, expected, || async {
            let found = status(&shop, id).await;
            (found == expected).then_some(()).ok_or(found)
        })
        .await;
    }
    let sold = ORDERS - cancelled;
    assert_eq!(shop.available(&sku).await, before - sold);
    nothing_left(&place).await;
    assert_eq!(ledger(&processes).await, [ORDERS, cancelled]);
    let listed: Value = shop.get("/v1/orders?page_size=100").await;
    let fulfilled = listed["orders"].as_array().expect("a list").iter();
    let fulfilled = fulfilled.filter(|order| order["status"] == "fulfilled");
    assert_eq!(i64::try_from(fulfilled.count()), Ok(sold));
}

fn nothing_left(place: &Place) -> impl Future<Output = ()> {
    let url = place.url().to_owned();
    async move {
        let depth = in_hand(&url, 0).await.queue.depth().await;
        assert_eq!(depth.expect("the queue is there").dead, 0);
    }
}

/// How many charges and refunds the payment provider has made.
async fn ledger(processes: &Processes) -> [i64; 2] {
    let file = processes.folder().join(".mesh/payments.db");
    let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("a database");
    let sql = "SELECT (SELECT COUNT(*) FROM ledger WHERE kind = 'charge'), \
               (SELECT COUNT(*) FROM ledger WHERE kind = 'refund')";
    let (charges, refunds) = sqlx::query_as(sql)
        .fetch_one(&mut ledger)
        .await
        .expect("the ledger is a table");
    [charges, refunds]
}
