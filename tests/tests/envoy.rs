//! The shop behind real sidecars, told what istiod would tell them, in both versions that Istio now brings.
#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown, not only judged"
)]

use std::time::Duration;

use http::Method;
use mesh_tests::{
    Ports, Processes, Recorder, Reply, Shop, SpanRecord,
    envoy::{ENVOYS, Endpoint, Envoy, Istio, Meshed, Sidecar},
    eventually, rpc,
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::Instant;
use tonic::Code;

/// The promise: the gateway works for 5 s at most, and a tenth of a second passes around it.
const PROMISE: Duration = Duration::from_millis(5_100);
/// Longer than anything takes that needs no waiting.
const SOON: Duration = Duration::from_secs(10);
/// The way of a charge, from the edge on: whose spans, and which kind.
const HOPS: [(&str, &str); 10] = [
    ("gateway.shop", "Server"),
    ("gateway", "Server"),
    ("gateway", "Client"),
    ("gateway.shop", "Client"),
    ("orders.shop", "Server"),
    ("orders", "Server"),
    ("orders", "Client"),
    ("orders.shop", "Client"),
    ("payments.shop", "Server"),
    ("payments", "Server"),
];
/// As an ingress writes it for what it samples: `9`, where a new one has `4`.
const SAMPLED_ID: &str = "386ef654-eb83-9064-9a2c-3d1f6f9f2c11";

#[tokio::test]
async fn a_charge_that_times_out_is_made_once_under_istios_default_policy() {
    for version in ENVOYS {
        one_charge(version, &Istio::without_manifests()).await;
    }
}

#[tokio::test]
async fn a_charge_that_times_out_is_made_once_on_the_shops_own_routes() {
    for version in ENVOYS {
        one_charge(version, &Istio::of_the_shop()).await;
    }
}

async fn one_charge(version: &str, istio: &Istio) {
    let mut mesh = Meshed::with(version, istio).sampling(100).start().await;
    let shop = Shop::with_session(mesh.entry()).await;
    let sku = shop.first_sku().await;
    let start = Instant::now();
    let order = shop.order("one", &sku, 1, "tok_silent").send().await;
    let took = start.elapsed();
    println!("Envoy {version}: {} after {took:?}", order.status);
    assert!(took <= PROMISE, "the answer took {took:?}");
    let _order = order.expect_status(202);

    let processes = mesh.processes();
    let handled = eventually(SOON, "payments has counted the charge", async || {
        let metrics = processes.metrics("payments").await;
        let handled = metrics.sum("http_requests_total", &[("route", rpc::CHARGE)]);
        if handled > 0.0 { Ok(handled) } else { Err(()) }
    })
    .await;
    assert!((handled - 1.0).abs() < f64::EPSILON, "{handled} charges");
    for (sidecar, peer) in [("gateway", "orders"), ("orders", "payments")] {
        let name = format!("cluster.{peer}.upstream_rq_retry");
        let retries = mesh.sidecar(sidecar).stat(&name).await;
        assert_eq!(retries, 0, "{sidecar} to {peer}");
    }
    mesh.stop().await;
    assert_eq!(
        movements(mesh.processes()).await,
        [("charge".to_owned(), 1)]
    );
}

/// The ledger of the payment provider: what kind of movement, and how many.
async fn movements(processes: &Processes) -> Vec<(String, i64)> {
    let file = processes.folder().join(".mesh/payments.db");
    let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("a database");
    sqlx::query_as("SELECT kind, COUNT(*) FROM ledger GROUP BY kind")
        .fetch_all(&mut ledger)
        .await
        .expect("the ledger is a table")
}

#[tokio::test]
async fn an_order_is_one_trace_with_the_sidecars_in_between() {
    for version in ENVOYS {
        // Nobody has decided: the first sidecar does.
        let mut mesh = Meshed::with(version, &Istio::of_the_shop())
            .sampling(100)
            .start()
            .await;
        let shop = Shop::new(mesh.entry());
        let trace = order(&mut mesh, &shop, &[]).await;
        assert_eq!(HOPS.as_slice(), way_of_a_charge(&trace), "Envoy {version}");
        let answered = trace.iter().filter(|span| span.kind == "Server").count();
        assert_eq!(
            answered, 8,
            "each process and its sidecar was asked once: {trace:#?}"
        );
    }
}

#[tokio::test]
async fn what_is_sampled_stays_so_when_sidecars_sample_nothing_themselves() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    for version in ENVOYS {
        let mut mesh = Meshed::with(version, &Istio::of_the_shop()).start().await;
        // With a request id that we make: the sidecar in front of the gateway would make another.
        let shop = Shop::new(mesh.processes().gateway());
        let trace = order(&mut mesh, &shop, &[("traceparent", &parent)]).await;
        assert_eq!(HOPS[1..], way_of_a_charge(&trace), "Envoy {version}");
    }
    for version in ENVOYS {
        // With the one of an ingress.
        let mut mesh = Meshed::with(version, &Istio::of_the_shop()).start().await;
        let shop = Shop::new(mesh.entry());
        let headers = [("traceparent", &*parent), ("x-request-id", SAMPLED_ID)];
        let trace = order(&mut mesh, &shop, &headers).await;
        assert_eq!(HOPS.as_slice(), way_of_a_charge(&trace), "Envoy {version}");
    }
}

/// Places an order and returns its trace; the mesh is stopped.
async fn order(mesh: &mut Meshed, shop: &Shop, headers: &[(&str, &str)]) -> Vec<SpanRecord> {
    let sku = shop.first_sku().await;
    let order = shop.order("one", &sku, 1, "tok_ok");
    let order = order.headers(headers.iter().copied()).send().await;
    let order = order.expect_status(201);
    mesh.stop().await;
    mesh.collector().trace(order.header("x-trace-id"))
}

/// Whose spans lead to the charge in payments, from the first on.
fn way_of_a_charge(trace: &[SpanRecord]) -> Vec<(&str, &str)> {
    let charge = trace
        .iter()
        .find(|span| span.service == "payments" && span.kind == "Server");
    let mut way = Vec::new();
    let mut next = charge;
    while let Some(span) = next {
        way.push((span.service.as_str(), span.kind.as_str()));
        next = trace.iter().find(|other| other.span_id == span.parent);
    }
    way.reverse();
    way
}

/// The gateway, its sidecar, and recorders in the place of the replicas of orders.
struct Edge {
    processes: Processes,
    envoy: Envoy,
    replicas: Vec<Recorder>,
    _ports: Ports,
}

impl Edge {
    async fn start(version: &str, istio: &Istio, replies: &[(&str, Reply)]) -> Self {
        let mut ports = Ports::default();
        let listen = ports.take();
        let mut replicas = Vec::new();
        for (rpc, reply) in replies {
            let replica = Recorder::start().await;
            replica.reply(rpc, reply.clone());
            replicas.push(replica);
        }
        let endpoints: Vec<_> = replicas
            .iter()
            .map(|replica| Endpoint::always(replica.address()))
            .collect();
        let sidecar = Sidecar {
            service: "gateway",
            inbound: None,
            outbound: vec![istio.outbound("orders", listen, &endpoints)],
            tracing: None,
        };
        Self {
            envoy: Envoy::start(version, &sidecar).await,
            processes: Processes::only(&["gateway"])
                .peer("orders", listen)
                .start()
                .await,
            replicas,
            _ports: ports,
        }
    }
}

#[tokio::test]
async fn a_read_that_is_slow_on_one_replica_is_answered_in_time_by_another() {
    const ORDER: &str = "/v1/orders/0b0f2f1e-5a0f-4d0c-8a55-4a6fbbf4f9a1";
    const READS: usize = 6;
    let gives_up = Reply::Status(Code::DeadlineExceeded, "out of time");
    let slow = [
        // The sidecar gives up on this one …
        Reply::Silence,
        // … and this one gives up by itself, a little earlier, as our services do.
        Reply::After(Duration::from_millis(400), Box::new(gives_up)),
    ];
    for (version, slow) in ENVOYS
        .into_iter()
        .flat_map(|version| slow.clone().map(|slow| (version, slow)))
    {
        let replies = [(rpc::GET_ORDER, slow), (rpc::GET_ORDER, rpc::found_order())];
        let edge = Edge::start(version, &Istio::of_the_shop(), &replies).await;
        let shop = Shop::new(edge.processes.gateway());
        let mut reads = 0;
        // Which replica is asked first is chance; some of the reads go to the slow one.
        while edge.replicas[0].received().len() < 2 || reads < READS {
            let start = Instant::now();
            let _found = shop
                .request(Method::GET, ORDER)
                .send()
                .await
                .expect_status(200);
            let took = start.elapsed();
            assert!(took < Duration::from_secs(1), "Envoy {version}: {took:?}");
            reads += 1;
        }
        for call in edge.replicas[0].take() {
            assert!(call.timeout() <= Duration::from_millis(450), "{call:?}");
            assert_eq!(call.header("x-envoy-attempt-count"), "1", "{call:?}");
        }
        let repeated = edge.replicas[1].take();
        let repeated = repeated
            .iter()
            .filter(|call| call.header("x-envoy-attempt-count") == "2");
        let retries = edge.envoy.stat("cluster.orders.upstream_rq_retry").await;
        assert_eq!(
            u64::try_from(repeated.count()),
            Ok(retries),
            "Envoy {version}"
        );
        assert!(retries >= 2, "Envoy {version}: {retries}");
    }
}

#[tokio::test]
async fn the_sidecars_own_timeout_is_our_timeout_and_nobody_tries_again() {
    for version in ENVOYS {
        let replies = [(rpc::PLACE_ORDER, Reply::Silence)];
        // Shorter than what the gateway allows: the sidecar gives up first, and says UNAVAILABLE.
        let istio = Istio::of_the_shop().with_timeout("orders", Duration::from_millis(300));
        let edge = Edge::start(version, &istio, &replies).await;
        let shop = Shop::new(edge.processes.gateway());
        let start = Instant::now();
        let order = shop.order("one", rpc::SKU, 1, "tok_ok").send().await;
        assert_eq!(order.status, 504, "Envoy {version}: {}", order.text());
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "it was the sidecar that gave up"
        );
        let call = edge.replicas[0].take_one();
        assert_eq!(call.timeout(), Duration::from_millis(300), "{call:?}");
    }
}

/// Why no timeout of ours may ever be `CANCELLED`: what tonic would answer is tried again.
#[tokio::test]
async fn istios_default_policy_asks_three_times_when_a_peer_says_cancelled() {
    for version in ENVOYS {
        let cancelled = Reply::Status(Code::Cancelled, "Timeout expired");
        let replies = [(rpc::PLACE_ORDER, cancelled)];
        let edge = Edge::start(version, &Istio::without_manifests(), &replies).await;
        let shop = Shop::new(edge.processes.gateway());
        let _order = shop.order("one", rpc::SKU, 1, "tok_ok").send().await;
        assert_eq!(edge.replicas[0].take().len(), 3, "Envoy {version}");
    }
}

#[tokio::test]
async fn customers_hear_within_the_promise_when_orders_hangs() {
    for version in ENVOYS {
        let mut mesh = Meshed::with(version, &Istio::of_the_shop()).start().await;
        let shop = Shop::with_session(mesh.entry()).await;
        let sku = shop.first_sku().await;
        mesh.processes().process("orders").pause();
        let start = Instant::now();
        let order = shop.order("one", &sku, 1, "tok_ok").send().await;
        let took = start.elapsed();
        println!("Envoy {version}: {} after {took:?}", order.status);
        assert_eq!(order.status, 504, "Envoy {version}: {}", order.text());
        assert!(took <= PROMISE, "the answer took {took:?}");
    }
}
