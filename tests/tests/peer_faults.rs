//! What customers are told when a peer is away, full, late, or answers what it must not.

use std::{sync::Arc, time::Duration};

use mesh_proto::payments::v1::ChargeState;
use mesh_tests::{Processes, Recorder, Reply, Request, Shop, eventually, rpc};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Notify, task::JoinSet};
use tonic::Code;

/// A request whose body never comes.
const STALLED: &[u8] = b"POST /v1/orders HTTP/1.1\r\nhost: x\r\nidempotency-key: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";

async fn gateway(peers: &Recorder) -> Processes {
    let gateway = Processes::only(&["gateway"])
        .peer("orders", peers.address())
        .peer("inventory", peers.address());
    gateway.start().await
}

#[tokio::test]
async fn every_code_of_a_peer_has_its_status() {
    let peers = Recorder::start().await;
    let processes = gateway(&peers).await;
    let shop = Shop::new(processes.gateway());
    for (code, status) in [
        (Code::Unavailable, 503),
        (Code::ResourceExhausted, 503),
        (Code::DeadlineExceeded, 504),
        (Code::Internal, 502),
        (Code::Unknown, 502),
        (Code::Unimplemented, 502),
        (Code::DataLoss, 502),
        // Not in the contract of either RPC.
        (Code::Cancelled, 502),
        (Code::PermissionDenied, 502),
        (Code::Unauthenticated, 502),
        (Code::OutOfRange, 502),
        (Code::FailedPrecondition, 502),
    ] {
        let reply = Reply::Status(code, "secret detail");
        peers.reply(rpc::PLACE_ORDER, reply.clone());
        peers.reply(rpc::LIST_PRODUCTS, reply);
        let placed = shop.order("one", rpc::SKU, 1, "tok_ok").send().await;
        let listed = processes.gateway().get("/v1/products").send().await;
        for answer in [placed, listed] {
            assert_eq!(answer.status, status, "{code:?}: {}", answer.text());
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{code:?}"
            );
            assert!(
                !answer.text().contains("secret detail"),
                "{code:?}: {}",
                answer.text()
            );
            let retry: Option<u32> = answer.header("retry-after").parse().ok();
            assert_eq!(
                retry.is_some(),
                status == 503,
                "{code:?}: Retry-After {retry:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_peers_fault() {
    let peers = Recorder::start().await;
    let processes = gateway(&peers).await;
    peers.reply(rpc::LIST_PRODUCTS, rpc::garbage());
    assert_eq!(
        processes.gateway().get("/v1/products").send().await.status,
        502
    );
    for incomplete in [rpc::garbage(), Reply::Message(Vec::new().into())] {
        peers.reply(rpc::PLACE_ORDER, incomplete);
        let placed = Shop::new(processes.gateway())
            .order("one", rpc::SKU, 1, "tok_ok")
            .send()
            .await;
        assert_eq!(placed.status, 502, "{}", placed.text());
    }
}

#[tokio::test]
async fn a_peer_that_is_away_is_503_until_it_comes() {
    let mut processes = Processes::only(&["gateway"]).start().await;
    let http = processes.gateway();
    let answer = http.get("/v1/products").send().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    processes.stop().await;
}

#[tokio::test]
async fn a_full_process_says_so_at_once() {
    const LIMIT: u32 = 4;
    let processes = Processes::only(&["gateway"])
        .set("MESH_CONCURRENCY_LIMIT", LIMIT.to_string())
        .start()
        .await;
    // Requests whose bodies do not come hold their places.
    let mut stalled = Vec::new();
    for _ in 0..2 * LIMIT {
        let mut request = TcpStream::connect(processes.address("gateway"))
            .await
            .expect("the gateway listens");
        request.write_all(STALLED).await.expect("it reads");
        stalled.push(request);
    }
    let [in_flight, shed] = eventually(Duration::from_secs(4), "every place is taken", || async {
        let metrics = processes.metrics("gateway").await;
        let counts = ["http_requests_in_flight", "http_requests_shed_total"]
            .map(|name| metrics.sum(name, &[]));
        if counts[0] + counts[1] < f64::from(2 * LIMIT) {
            Err(counts)
        } else {
            Ok(counts)
        }
    })
    .await;
    assert!(
        in_flight > 0.0 && in_flight <= f64::from(LIMIT),
        "{in_flight}"
    );

    let answer = processes
        .gateway()
        .get("/v1/cart")
        .send()
        .await
        .expect_status(503);
    assert!(
        answer
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0),
        "{answer:?}"
    );
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{answer:?}"
    );
    assert_eq!(answer.header("x-trace-id").len(), 32, "{answer:?}");
    let metrics = processes.metrics("gateway").await;
    assert!((metrics.sum("http_requests_shed_total", &[]) - shed - 1.0).abs() < f64::EPSILON);
    let counted = metrics.sum(
        "http_requests_total",
        &[("route", "/v1/cart"), ("status", "503")],
    );
    assert!(
        (counted - 1.0).abs() < f64::EPSILON,
        "a shed request is a request: {counted}"
    );
}

/// A gateway with so many places, whose peers leave that RPC without an answer and know no order.
async fn hanging_at(rpc: &str, limit: u32) -> (Recorder, Processes) {
    let peers = Recorder::start().await;
    peers.reply(rpc, Reply::Silence);
    let unknown = Reply::Status(Code::NotFound, "no such order");
    peers.reply(rpc::GET_ORDER, unknown);
    let processes = Processes::only(&["gateway"])
        .peer("inventory", peers.address())
        .peer("orders", peers.address())
        .set("MESH_CONCURRENCY_LIMIT", limit.to_string());
    (peers, processes.start().await)
}

/// These requests fill the room there is for the calls they make; others find theirs.
async fn leaves_room(processes: &Processes, peer: &str, requests: impl Iterator<Item = Request>) {
    let hanging: JoinSet<_> = requests.map(Request::send).collect();
    let bulkhead = [("peer", peer), ("reason", "bulkhead")];
    eventually(Duration::from_secs(4), "the bulkhead is full", || async {
        let metrics = processes.metrics("gateway").await;
        let refused = metrics.sum("client_calls_not_started_total", &bulkhead);
        if refused > 0.0 { Ok(()) } else { Err(refused) }
    })
    .await;
    let path = "/v1/orders/0b0f2f1e-5a0f-4d0c-8a55-4a6fbbf4f9a1";
    let look = processes.gateway().get(path).send().await;
    let _known = look.expect_status(404);
    for answer in hanging.join_all().await {
        assert!([503, 504].contains(&answer.status), "{answer:?}");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_takes_only_its_share_of_the_places() {
    const LIMIT: u32 = 8;
    let (_peers, processes) = hanging_at(rpc::LIST_PRODUCTS, LIMIT).await;
    let requests = (0..2 * LIMIT).map(|_| processes.gateway().get("/v1/products"));
    leaves_room(&processes, "inventory", requests).await;
}

#[tokio::test]
async fn orders_that_hang_while_being_placed_leave_room_to_look_at_orders() {
    const LIMIT: u32 = 20;
    let (_peers, processes) = hanging_at(rpc::PLACE_ORDER, LIMIT).await;
    let shop = Shop::new(processes.gateway());
    let requests = (0..2 * LIMIT).map(|n| shop.order(&n.to_string(), rpc::SKU, 1, "tok_ok"));
    leaves_room(&processes, "orders", requests).await;
}

#[tokio::test]
async fn a_service_whose_store_is_away_starts_and_says_so() {
    let processes = Processes::only(&["gateway", "orders"])
        .set_of(
            "orders",
            "MESH_STORE_URL",
            "postgres://nobody:unused@127.0.0.1:9/nothing",
        )
        .without_waiting()
        .start()
        .await;
    let admin = processes.admin("orders");
    eventually(
        Duration::from_secs(10),
        "orders waits for its store",
        || async {
            let ready = admin
                .get("/readyz")
                .try_send()
                .await
                .map_err(|error| format!("{error:#}"))?;
            let waiting =
                ready.status == 503 && ready.json()["waiting_for"] == serde_json::json!(["store"]);
            if waiting { Ok(()) } else { Err(ready.text()) }
        },
    )
    .await;
    assert_eq!(admin.get("/healthz").send().await.status, 200);
    eventually(
        Duration::from_secs(10),
        "orders are unavailable",
        || async {
            let gateway = processes.gateway().get("/readyz").try_send().await;
            gateway.map(drop).map_err(|error| format!("{error:#}"))?;
            let placed = Shop::new(processes.gateway())
                .order("one", rpc::SKU, 1, "tok_ok")
                .send()
                .await;
            let unavailable =
                placed.status == 503 && placed.header("retry-after").parse::<u32>().is_ok();
            if unavailable {
                Ok(())
            } else {
                Err(format!("{placed:?}"))
            }
        },
    )
    .await;
}

#[tokio::test]
async fn an_order_that_is_being_worked_on_is_409_for_a_while() {
    let payments = Recorder::start().await;
    let answer = Arc::new(Notify::new());
    let charged = Box::new(rpc::charge(ChargeState::Charged));
    payments.reply(rpc::CHARGE, Reply::Held(Arc::clone(&answer), charged));
    let processes = Processes::all()
        .peer("payments", payments.address())
        .start()
        .await;
    let shop = Shop::with_session(processes.gateway()).await;
    let sku = shop.first_sku().await;
    let mut first = JoinSet::new();
    first.spawn(shop.order("one", &sku, 1, "tok_ok").send());
    eventually(
        Duration::from_secs(5),
        "the order reaches payments",
        || async {
            let calls = payments.received();
            if calls.is_empty() {
                Err("no call")
            } else {
                Ok(())
            }
        },
    )
    .await;
    let second = shop.order("one", &sku, 1, "tok_ok").send().await;
    assert_eq!(second.status, 409, "{}", second.text());
    assert!(
        second
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0)
    );
    answer.notify_one();
    let first = first
        .join_next()
        .await
        .expect("it was spawned")
        .expect("it does not panic");
    assert_eq!(first.status, 201, "{}", first.text());
    let third = shop
        .order("one", &sku, 1, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(third.header("idempotent-replayed"), "true");
    assert_eq!(third.json(), first.json());
    assert_eq!(payments.received().len(), 1, "one charge");
}
