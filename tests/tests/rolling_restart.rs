//! Two replicas of orders behind a real Envoy are restarted in turn, under load: no customer notices, no span is lost.
//! A small dose by default; `scripts/rolling-restart` sets `RESTARTS` of each and `REQUESTS_PER_SECOND`.
#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown, not only judged"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use mesh_config::{Env, Source as _};
use mesh_tests::{
    Collector, Ports, Processes, Shop,
    envoy::{ENVOYS, Endpoint, Envoy, Istio, Sidecar},
    eventually,
};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, Interval, interval},
};

const REPLICAS: [&str; 2] = ["orders", "orders-2"];
/// Unless `RESTARTS` says otherwise.
const RESTARTS: u32 = 2;
/// Unless `REQUESTS_PER_SECOND` says otherwise: debug builds shall have time to spare.
const REQUESTS_PER_SECOND: u32 = 50;
/// One in so many is a new order; the others ask for one.
const NEW_ORDERS: usize = 10;
/// Long enough for the mesh to notice that a replica leaves.
const DRAIN_DELAY: &str = "500ms";
/// Longer than the mesh takes to notice that it is back.
const NOTICED: Duration = Duration::from_secs(30);

/// How requests ended: a status, or why there was none.
type Tally = BTreeMap<String, u32>;

#[tokio::test]
async fn nobody_notices_that_replicas_are_restarted() {
    let [restarts, rate] = [
        ("RESTARTS", RESTARTS),
        ("REQUESTS_PER_SECOND", REQUESTS_PER_SECOND),
    ]
    .map(|(name, small)| {
        Env.get(name)
            .map_or(small, |text| text.parse().expect("a number"))
    });
    let mut shop = Restarted::start(ENVOYS[1]).await;
    let customer = Shop::with_session(shop.processes.gateway()).await;
    let sku = customer.first_sku().await;
    let order = customer.order("first", &sku, 1, "tok_ok").send().await;
    let order = order.expect_status(201).header("location").to_owned();

    let (end, ended) = oneshot::channel();
    let mut load = JoinSet::new();
    let pace = interval(Duration::from_secs(1) / rate);
    load.spawn(async move { open_loop(&customer, &sku, &order, pace, ended).await });
    for _ in 0..restarts {
        for replica in REPLICAS {
            shop.processes.restart(replica).await;
            shop.both_serve().await;
        }
    }
    end.send(()).expect("the load goes on until it is told");
    let tally = load
        .join_next()
        .await
        .expect("one task")
        .expect("it does not panic");
    println!(
        "each of {} replicas restarted {restarts} times: {tally:?}",
        REPLICAS.len()
    );
    assert!(
        tally
            .keys()
            .all(|status| ["200", "201"].contains(&status.as_str())),
        "{tally:?}"
    );
    shop.every_answer_has_its_span().await;
}

/// The shop with two replicas of orders, the sidecar of the gateway between it and them.
struct Restarted {
    processes: Processes,
    envoy: Envoy,
    collector: Collector,
    _ports: Ports,
}

impl Restarted {
    async fn start(version: &str) -> Self {
        let collector = Collector::start();
        let mut ports = Ports::default();
        let listen = ports.take();
        // What replicas have in common, as on Kubernetes.
        let store = mesh_store::testing::postgres().await;
        let names = ["payments", "inventory", REPLICAS[0], REPLICAS[1], "gateway"];
        let processes = Processes::only(&names)
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .set_of("gateway", "MESH_ORDERS_URL", format!("http://{listen}"))
            .set_of("orders", "MESH_DRAIN_DELAY", DRAIN_DELAY)
            .set_of("orders", "MESH_STORE_URL", store)
            // The load takes many.
            .set_of("inventory", "MESH_SEED_STOCK", "1000000")
            .start()
            .await;
        let endpoints = REPLICAS.map(|name| Endpoint {
            to: processes.address(name),
            admin: Some(processes.admin_address(name)),
            version: "v1",
        });
        let sidecar = Sidecar {
            service: "gateway",
            inbound: None,
            outbound: vec![Istio::of_the_shop().outbound("orders", listen, &endpoints)],
            tracing: None,
        };
        let envoy = Envoy::start(version, &sidecar).await;
        let restarted = Self {
            processes,
            envoy,
            collector,
            _ports: ports,
        };
        restarted.both_serve().await;
        restarted
    }

    async fn both_serve(&self) {
        eventually(
            NOTICED,
            "both replicas are taken for healthy",
            async || match self.envoy.stat("cluster.orders.membership_healthy").await {
                2 => Ok(()),
                other => Err(other),
            },
        )
        .await;
    }

    /// Each request that a replica logged has its server span at the receiver: also the last ones before each stop.
    async fn every_answer_has_its_span(mut self) {
        self.processes.stop().await;
        let exported: BTreeSet<_> = self
            .collector
            .spans()
            .into_iter()
            .filter(|span| span.service == "orders" && span.kind == "Server")
            .map(|span| span.span_id)
            .collect();
        for replica in REPLICAS {
            let logs = self.processes.logs(replica);
            let answered: Vec<_> = logs
                .iter()
                .filter(|line| !line["route"].is_null())
                .collect();
            let lost: Vec<_> = answered
                .iter()
                .filter(|line| !exported.contains(line["span_id"].as_str().unwrap_or_default()))
                .collect();
            println!("{replica} answered {} requests", answered.len());
            assert!(
                answered.len() > 10,
                "{replica} had its share: {}",
                answered.len()
            );
            assert!(lost.is_empty(), "{replica}: no spans of {lost:#?}");
        }
    }
}

/// Sends requests at a steady pace, whether or not the ones before are answered.
async fn open_loop(
    customer: &Shop,
    sku: &str,
    order: &str,
    mut pace: Interval,
    mut ended: oneshot::Receiver<()>,
) -> Tally {
    let mut requests = JoinSet::new();
    let start = Instant::now();
    let mut sent = 0;
    while ended.try_recv().is_err() {
        pace.tick().await;
        let request = if sent % NEW_ORDERS == 0 {
            customer.order(&format!("order-{sent}"), sku, 1, "tok_ok")
        } else {
            customer.request(Method::GET, order)
        };
        requests.spawn(async move {
            match request.try_send().await {
                Ok(answer) if answer.status < 400 => answer.status.to_string(),
                Ok(answer) => format!("{} {}", answer.status, answer.json()["detail"]),
                Err(error) => format!("{error:#}"),
            }
        });
        sent += 1;
    }
    let took = start.elapsed();
    println!("{sent} requests in {took:?}");
    let mut tally = Tally::new();
    for ending in requests.join_all().await {
        *tally.entry(ending).or_default() += 1;
    }
    tally
}
