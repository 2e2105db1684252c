//! What a recording peer sees of the time that is left, one, two and three calls away from the edge, and what customers
//! are told when there is none left.
//!
//! ```text
//!   5.0 s   gateway ──► recorder                                              depth 1
//!           gateway ──► orders ──► recorder (inventory)                       depth 2
//!                          └─────► relay ──► recorder (payments)              depth 3
//! ```

use std::time::Duration;

use mesh_proto::payments::v1::ChargeState;
use mesh_tests::{Received, Recorder, Reply, Shop, call, eventually, rpc};
use tokio::time::Instant;
use tonic::Code;

use self::setup::{Chain, Edge};

#[path = "deadlines/setup.rs"]
mod setup;

/// Nothing that is said to happen at once takes this long.
const SOON: Duration = Duration::from_secs(2);

/// Malformed values of `grpc-timeout`.
const MALFORMED: [&str; 10] = [
    "",
    "1",
    "m",
    "-1m",
    "+1m",
    "123456789m",
    "1x",
    "1 m",
    "1.5S",
    "1m,2m",
];
/// Values that are longer than any limit, the longest there is among them.
const HUGE: [&str; 3] = ["60S", "99999999S", "99999999H"];

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The call was given all of that time, but for what passed since it was decided.
#[track_caller]
fn is_nearly(call: &Received, time: Duration) {
    let given = call.timeout();
    assert!(
        given <= time && given > time.mul_f64(0.8),
        "{given:?} of {time:?}: {call:?}"
    );
}

/// The most a call may be given by someone who has that much left.
fn outbound(remaining: Duration) -> Duration {
    remaining.saturating_sub((remaining / 20).clamp(millis(20), millis(250)))
}

#[tokio::test]
async fn without_a_deadline_from_outside_every_call_gets_its_cap() {
    let edge = Edge::start(&[]).await;
    assert_eq!(edge.order("a", &[]).await, 201);
    is_nearly(&edge.peers.take_one(), millis(4600));
    let _listed = edge
        .processes
        .gateway()
        .get("/v1/products")
        .send()
        .await
        .expect_status(200);
    is_nearly(&edge.peers.take_one(), millis(950));

    let chain = Chain::start(|processes| processes).await;
    let (reserve, charge) = chain.order("a", &[]).await;
    is_nearly(&reserve, millis(650));
    // Orders gives the relay 3.4 s; the relay may pass on that much less its reserve.
    assert!(charge.timeout() <= outbound(millis(3400)), "{charge:?}");
    assert!(charge.timeout() > millis(1700), "{charge:?}");
}

#[tokio::test]
async fn a_deadline_shrinks_with_every_hop() {
    let edge = Edge::start(&[("MESH_TRUST_EDGE_HEADERS", "true")]).await;
    let chain = Chain::start(|processes| processes).await;
    for budget in [5000, 3000, 2000, 1000, 600] {
        let given = format!("{budget}m");
        let headers = [("grpc-timeout", given.as_str())];
        assert_eq!(edge.order(&given, &headers).await, 201);
        let first = edge.peers.take_one();
        let (reserve, charge) = chain.order(&given, &headers).await;

        let (one, two) = (
            outbound(millis(budget)).min(millis(4600)),
            outbound(outbound(millis(budget))),
        );
        assert!(first.timeout() <= one, "depth 1 of {budget} ms: {first:?}");
        assert!(
            reserve.timeout() <= two.min(millis(650)),
            "depth 2 of {budget} ms: {reserve:?}"
        );
        assert!(
            charge.timeout() <= outbound(two.min(millis(3400))),
            "depth 3 of {budget} ms: {charge:?}"
        );
        assert!(
            charge.timeout() < reserve.timeout() || budget > 700,
            "{budget} ms: {reserve:?} {charge:?}"
        );
    }
}

#[tokio::test]
async fn nobody_outside_shortens_or_lengthens_the_deadline_of_an_edge_that_trusts_nobody() {
    let edge = Edge::start(&[]).await;
    for (key, given) in ["0m", "1m", "1S", "60S", "nonsense"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(
            edge.order(&key.to_string(), &[("grpc-timeout", given)])
                .await,
            201,
            "{given}"
        );
        is_nearly(&edge.peers.take_one(), millis(4600));
    }
    assert!(
        edge.malformed().await < 1.0,
        "what does not count is not counted"
    );
}

#[tokio::test]
async fn the_smallest_of_header_and_own_limit_counts_at_the_edge() {
    let edge = Edge::start(&[("MESH_TRUST_EDGE_HEADERS", "true")]).await;
    for (key, given) in HUGE.into_iter().enumerate() {
        assert_eq!(
            edge.order(&format!("huge{key}"), &[("grpc-timeout", given)])
                .await,
            201,
            "{given}"
        );
        is_nearly(&edge.peers.take_one(), millis(4600));
    }
    assert!(edge.malformed().await < 1.0);

    for (key, given) in MALFORMED.into_iter().enumerate() {
        let before = edge.malformed().await;
        assert_eq!(
            edge.order(&format!("bad{key}"), &[("grpc-timeout", given)])
                .await,
            201,
            "{given}"
        );
        is_nearly(&edge.peers.take_one(), millis(4600));
        assert!(
            (edge.malformed().await - before - 1.0).abs() < f64::EPSILON,
            "{given} was not counted"
        );
    }

    for given in ["0n", "0m", "00000000H"] {
        assert_eq!(
            edge.order("none", &[("grpc-timeout", given)]).await,
            504,
            "{given}"
        );
        assert!(
            edge.peers.take().is_empty(),
            "{given}: there is no time for a call"
        );
    }
}

#[tokio::test]
async fn the_smallest_of_header_and_own_limit_counts_inside() {
    let chain = Chain::start(|processes| processes).await;
    let (orders, relay) = (
        chain.processes.address("orders"),
        chain.processes.address("relay"),
    );
    for (key, given) in HUGE.iter().chain(&MALFORMED).enumerate() {
        let headers = [("grpc-timeout", *given)];
        let placed = call(
            orders,
            rpc::PLACE_ORDER,
            &headers,
            &rpc::place_order(&key.to_string()),
        )
        .await;
        assert_eq!(placed.code, Code::Ok, "{given}: {}", placed.message);
        is_nearly(&chain.inventory.take_one(), millis(650));
        assert!(
            chain.payments.take_one().timeout() > millis(1700),
            "{given}"
        );
        let charged = call(relay, rpc::CHARGE, &headers, &rpc::charge_request("key")).await;
        assert_eq!(charged.code, Code::Ok, "{given}: {}", charged.message);
        assert!(
            chain.payments.take_one().timeout() > millis(1700),
            "{given}"
        );
    }
    let count = u32::try_from(MALFORMED.len()).expect("a few");
    for name in ["orders", "relay"] {
        let malformed = chain
            .processes
            .metrics(name)
            .await
            .sum("deadline_header_malformed_total", &[]);
        assert!(
            (malformed - f64::from(count)).abs() < f64::EPSILON,
            "{name}: {malformed}"
        );
    }

    let headers = [("grpc-timeout", "0m")];
    let placed = call(
        orders,
        rpc::PLACE_ORDER,
        &headers,
        &rpc::place_order("none"),
    )
    .await;
    assert_eq!(placed.code, Code::DeadlineExceeded, "{}", placed.message);
    let charged = call(relay, rpc::CHARGE, &headers, &rpc::charge_request("none")).await;
    assert_eq!(charged.code, Code::DeadlineExceeded, "{}", charged.message);
    let reserved = calls(&chain.inventory, rpc::RESERVE);
    assert!(
        reserved.is_empty() && chain.payments.take().is_empty(),
        "there is no time for a call"
    );
}

#[tokio::test]
async fn a_call_below_its_floor_is_never_sent() {
    // Reserve at least 20 ms: what is left for the call is 1 ms less than the floor of 50 ms, or 25 ms.
    let edge = Edge::start(&[("MESH_TRUST_EDGE_HEADERS", "true")]).await;
    assert_eq!(edge.order("a", &[("grpc-timeout", "69m")]).await, 504);
    let listed = edge
        .processes
        .gateway()
        .get("/v1/products")
        .header("grpc-timeout", "44m")
        .send()
        .await;
    assert_eq!(listed.status, 504);
    assert!(edge.peers.take().is_empty());
    for peer in ["orders", "inventory"] {
        assert!(
            (edge.not_started(peer).await - 1.0).abs() < f64::EPSILON,
            "{peer}"
        );
    }

    let chain = Chain::start(|processes| processes).await;
    let (orders, relay) = (
        chain.processes.address("orders"),
        chain.processes.address("relay"),
    );
    let placed = call(
        orders,
        rpc::PLACE_ORDER,
        &[("grpc-timeout", "44m")],
        &rpc::place_order("a"),
    )
    .await;
    let charged = call(
        relay,
        rpc::CHARGE,
        &[("grpc-timeout", "69m")],
        &rpc::charge_request("a"),
    )
    .await;
    assert_eq!(
        (placed.code, charged.code),
        (Code::DeadlineExceeded, Code::DeadlineExceeded)
    );
    assert!(calls(&chain.inventory, rpc::RESERVE).is_empty() && chain.payments.take().is_empty());
}

#[tokio::test]
async fn a_peers_timeout_setting_is_an_upper_bound_of_every_cap() {
    let edge = Edge::start(&[
        ("MESH_ORDERS_TIMEOUT", "400ms"),
        ("MESH_INVENTORY_TIMEOUT", "60s"),
    ])
    .await;
    assert_eq!(edge.order("a", &[]).await, 201);
    is_nearly(&edge.peers.take_one(), millis(400));
    let _listed = edge
        .processes
        .gateway()
        .get("/v1/products")
        .send()
        .await
        .expect_status(200);
    is_nearly(&edge.peers.take_one(), millis(950));
}

#[tokio::test]
async fn a_silent_peer_is_left_when_time_is_up_and_the_caller_is_told_so() {
    let edge = Edge::start(&[("MESH_ORDERS_TIMEOUT", "300ms")]).await;
    edge.peers.reply(rpc::PLACE_ORDER, Reply::Silence);
    let start = Instant::now();
    assert_eq!(edge.order("a", &[]).await, 504);
    assert!(
        (millis(300)..SOON).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    left_alone(&edge.peers, rpc::PLACE_ORDER).await;

    let chain = Chain::start(|processes| processes).await;
    chain.inventory.reply(rpc::RESERVE, Reply::Silence);
    chain.payments.reply(rpc::CHARGE, Reply::Silence);
    let order = Shop::new(chain.processes.gateway())
        .order("a", rpc::SKU, 1, "tok_ok")
        .send()
        .await;
    assert_eq!(order.status, 504, "{}", order.text());
    left_alone(&chain.inventory, rpc::RESERVE).await;
    assert!(
        calls(&chain.payments, rpc::CHARGE).is_empty(),
        "nothing is charged for what is not reserved"
    );
    let relay = chain.processes.address("relay");
    let charged = call(
        relay,
        rpc::CHARGE,
        &[("grpc-timeout", "300m")],
        &rpc::charge_request("a"),
    )
    .await;
    assert_eq!(charged.code, Code::DeadlineExceeded, "{}", charged.message);
    left_alone(&chain.payments, rpc::CHARGE).await;
}

/// The one call of that RPC is given up by its caller.
async fn left_alone(peer: &Recorder, rpc: &str) {
    eventually(SOON, "the call is given up", || async {
        match &calls(peer, rpc)[..] {
            [call] if call.abandoned.is_some() => Ok(()),
            calls => Err(format!("{calls:?}")),
        }
    })
    .await;
}

fn calls(peer: &Recorder, rpc: &str) -> Vec<Received> {
    peer.received()
        .into_iter()
        .filter(|call| call.rpc == rpc)
        .collect()
}

#[tokio::test]
async fn a_sidecars_timeout_goes_up_as_the_deadline_it_is() {
    let edge = Edge::start(&[]).await;
    for (message, status) in [
        ("upstream request timeout", 504),
        ("no healthy upstream", 503),
    ] {
        edge.peers
            .reply(rpc::PLACE_ORDER, Reply::Status(Code::Unavailable, message));
        assert_eq!(
            edge.order(&status.to_string(), &[]).await,
            status,
            "{message}"
        );
    }

    let chain = Chain::start(|processes| processes).await;
    let timeout = Reply::Status(Code::Unavailable, "upstream request timeout");
    chain.inventory.reply(rpc::RESERVE, timeout.clone());
    chain.payments.reply(rpc::CHARGE, timeout);
    let (orders, relay) = (
        chain.processes.address("orders"),
        chain.processes.address("relay"),
    );
    let placed = call(orders, rpc::PLACE_ORDER, &[], &rpc::place_order("a")).await;
    let charged = call(relay, rpc::CHARGE, &[], &rpc::charge_request("a")).await;
    assert_eq!(
        (placed.code, charged.code),
        (Code::DeadlineExceeded, Code::DeadlineExceeded)
    );
}

#[tokio::test]
async fn work_stops_when_its_caller_goes_away() {
    let edge = Edge::start(&[]).await;
    edge.peers.reply(
        rpc::LIST_PRODUCTS,
        Reply::After(millis(20_000), Box::new(rpc::products())),
    );
    let gateway = edge.processes.gateway();
    gone_after(
        &edge.peers,
        rpc::LIST_PRODUCTS,
        gateway.get("/v1/products").send(),
    )
    .await;

    let chain = Chain::start(|processes| processes).await;
    chain.payments.reply(rpc::CHARGE, Reply::Silence);
    let request = rpc::charge_request("a");
    let charge = call(chain.processes.address("relay"), rpc::CHARGE, &[], &request);
    gone_after(&chain.payments, rpc::CHARGE, charge).await;
}

/// Drops a request once it has arrived at the peer; the peer's call has to end long before its deadline.
async fn gone_after<T>(peer: &Recorder, rpc: &str, request: impl Future<Output = T>) {
    let arrived = eventually(SOON, "the call arrives", || async {
        calls(peer, rpc).pop().ok_or("no call")
    });
    let call = tokio::select! {
        _ = request => panic!("the peer does not answer"),
        call = arrived => call,
    };
    left_alone(peer, rpc).await;
    let taken = call.at.elapsed();
    assert!(
        taken < call.timeout().mul_f64(0.9),
        "{taken:?} of {:?}",
        call.timeout()
    );
}

#[tokio::test]
async fn compensation_has_a_deadline_of_its_own() {
    let chain = Chain::start(|processes| processes).await;
    let declined = rpc::charge(ChargeState::Declined);
    // So late that less is left of the 2.85 s orders gets (3 s without the gateway's reserve) than a release may take.
    chain
        .payments
        .reply(rpc::CHARGE, Reply::After(millis(2220), Box::new(declined)));
    let start = Instant::now();
    let order = Shop::new(chain.processes.gateway()).order("a", rpc::SKU, 1, "tok_declined");
    let order = order.header("grpc-timeout", "3S").send().await;
    assert_eq!(order.status, 402, "{}", order.text());
    let release = eventually(SOON, "the stock is released", || async {
        let release = chain
            .inventory
            .received()
            .into_iter()
            .find(|call| call.rpc == rpc::RELEASE);
        release.ok_or("not yet")
    })
    .await;
    let left = (start + millis(2850)).duration_since(release.at);
    assert!(
        release.timeout() > left,
        "{:?} with {left:?} left",
        release.timeout()
    );
}
