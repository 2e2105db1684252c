//! What each route of `istio/` promises, on real Envoys told what the manifests say: how often a call is tried, for how long, and
//! what the caller hears. The promises stand here a second time, on purpose: a manifest that changes breaks one.
#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown, not only judged"
)]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use mesh_manifests::{HttpRoute, StringMatch};
use mesh_tests::{
    Http, Manner, Ports, Rude, call,
    envoy::{ENVOYS, Endpoint, Envoy, INGRESS, Istio, Outbound, Sidecar},
    rpc,
};
use tokio::{task::JoinSet, time::Instant};
use tonic::Code;

/// A route, its timeout and its tries.
type Promise = (&'static str, &'static str, u64, Tries);

/// How often a call is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    /// Twice at most, for so many milliseconds each; whatever went wrong in a way that another replica may do better.
    Two(u64),
    /// Once, and a second time only when the first did not reach the peer.
    One,
    /// Once, whatever happens.
    JustOne,
}

const PROMISES: [Promise; 17] = [
    ("gateway", "/v1/orders", 5_500, Tries::One),
    ("orders", rpc::PLACE_ORDER, 4_700, Tries::One),
    ("orders", rpc::CANCEL_ORDER, 4_700, Tries::One),
    ("orders", rpc::GET_ORDER, 1_000, Tries::Two(450)),
    ("orders", rpc::LIST_ORDERS, 1_000, Tries::Two(450)),
    ("orders", rpc::MARK_FULFILLED, 1_000, Tries::Two(450)),
    (
        "orders",
        "/shop.orders.v1.OrdersService/Other",
        1_000,
        Tries::JustOne,
    ),
    ("inventory", rpc::LIST_PRODUCTS, 1_000, Tries::Two(450)),
    ("inventory", rpc::GET_PRODUCTS, 1_000, Tries::Two(450)),
    ("inventory", rpc::RESERVE, 700, Tries::Two(300)),
    ("inventory", rpc::RELEASE, 700, Tries::Two(300)),
    ("inventory", rpc::COMMIT, 700, Tries::Two(300)),
    (
        "inventory",
        "/shop.inventory.v1.InventoryService/Other",
        1_000,
        Tries::JustOne,
    ),
    ("payments", rpc::CHARGE, 3_500, Tries::One),
    ("payments", rpc::REFUND, 3_500, Tries::One),
    ("payments", rpc::GET_CHARGE, 1_000, Tries::Two(450)),
    (
        "payments",
        "/shop.payments.v1.PaymentsService/Other",
        1_000,
        Tries::JustOne,
    ),
];
/// The end of paths that no route names.
const OTHER: &str = "/Other";

/// What peers do wrong, and one that does nothing wrong. None: there is no peer.
const MANNERS: [Option<Manner>; 11] = [
    Some(Manner::Answers),
    Some(Manner::Silent),
    Some(Manner::Fails(Code::Unavailable)),
    Some(Manner::Fails(Code::DeadlineExceeded)),
    Some(Manner::Fails(Code::Cancelled)),
    Some(Manner::Fails(Code::ResourceExhausted)),
    Some(Manner::Fails(Code::Internal)),
    Some(Manner::FailsLate(Code::Unavailable)),
    Some(Manner::Resets),
    Some(Manner::Refuses),
    None,
];

/// One route and one peer behind it, with a listener and a cluster of its own, so that no case disturbs another.
#[derive(Debug, Clone, Copy)]
struct Case {
    promise: Promise,
    manner: Option<Manner>,
    listen: SocketAddr,
}

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    tries: u64,
    /// A gRPC code, or at the edge an HTTP status.
    heard: String,
    /// Neither sooner nor much later than promised.
    in_time: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_its_promise() {
    let mut versions = JoinSet::new();
    for version in ENVOYS {
        versions.spawn(every_route_of(version));
    }
    let broken: Vec<_> = versions.join_all().await.into_iter().flatten().collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_route_is_promised_something() {
    let istio = Istio::of_the_shop();
    let written: BTreeSet<_> = istio
        .services()
        .flat_map(|service| {
            let routes = istio.virtual_service(service).expect("it is there").http;
            let paths = routes.iter().flat_map(paths).collect::<Vec<_>>();
            paths
                .into_iter()
                .map(move |path| (service.to_owned(), path))
        })
        .collect();
    let promised = PROMISES.map(|(service, path, ..)| {
        let other = path.ends_with(OTHER) || service == "gateway";
        (
            service.to_owned(),
            if other { "*" } else { path }.to_owned(),
        )
    });
    assert_eq!(written, promised.into());
}

/// The paths of a route; `*` for all.
fn paths(route: &HttpRoute) -> Vec<String> {
    if route.matches.is_empty() {
        return vec!["*".to_owned()];
    }
    let path = |uri: &StringMatch| match uri {
        StringMatch::Exact(path) => path.clone(),
        other => panic!("an RPC's path is exact: {other:?}"),
    };
    route.uris().map(path).collect()
}

/// Every case, on one Envoy.
struct Table {
    envoy: Envoy,
    cases: Vec<Case>,
    peers: Vec<(Option<Manner>, Option<Rude>)>,
    _ports: Ports,
}

/// Runs every case on one Envoy and says which ended otherwise than promised.
async fn every_route_of(version: &str) -> Vec<String> {
    let table = Table::start(version).await;
    let mut broken = Vec::new();
    for (case, (heard, took)) in run(&table.cases).await {
        let name = format!("Envoy {version}, {}", case.name());
        let (tries, limit) = table.tries(&case).await;
        let in_time = case.in_time(took);
        let outcome = Outcome {
            tries,
            heard,
            in_time,
        };
        println!("{name}: {outcome:?} after {took:?}");
        let promised = case.promised();
        if outcome != promised {
            broken.push(format!(
                "{name}: {outcome:?} after {took:?}, promised {promised:?}"
            ));
        }
        let promised = case.first_limit();
        if limit != promised {
            broken.push(format!(
                "{name}: the first try had {limit:?}, promised {promised:?}"
            ));
        }
    }
    broken
}

/// What takes long runs side by side, all else one after the other: a busy machine shall not make a try late.
async fn run(cases: &[Case]) -> Vec<(Case, (String, Duration))> {
    let cases = cases.iter().copied();
    let (slow, quick): (Vec<_>, Vec<_>) =
        cases.partition(|case| case.manner == Some(Manner::Silent));
    let slow = slow.into_iter();
    let slow: JoinSet<_> = slow
        .map(|case| async move { (case, case.run().await) })
        .collect();
    let mut ends = Vec::new();
    for case in quick {
        ends.push((case, case.run().await));
    }
    ends.extend(slow.join_all().await);
    ends
}

impl Table {
    async fn start(version: &str) -> Self {
        let istio = Istio::of_the_shop();
        let mut ports = Ports::default();
        let nobody = ports.take();
        let (mut peers, mut cases, mut outbound) = (Vec::new(), Vec::new(), Vec::new());
        for manner in MANNERS {
            let peer = match manner {
                Some(manner) => Some(Rude::start(manner).await),
                None => None,
            };
            let endpoint = Endpoint::always(peer.as_ref().map_or(nobody, Rude::address));
            for promise in PROMISES {
                let listen = ports.take();
                let case = Case {
                    promise,
                    manner,
                    listen,
                };
                outbound.push(case.way(&istio, endpoint));
                cases.push(case);
            }
            peers.push((manner, peer));
        }
        let sidecar = Sidecar {
            service: INGRESS,
            inbound: None,
            outbound,
            tracing: None,
        };
        let envoy = Envoy::start(version, &sidecar).await;
        Self {
            envoy,
            cases,
            peers,
            _ports: ports,
        }
    }

    /// How often a call was tried, and for how long the peer was told that the first try lasts.
    async fn tries(&self, case: &Case) -> (u64, Option<Duration>) {
        let peer = self.peers.iter().find(|(manner, _)| *manner == case.manner);
        let Some((_, Some(peer))) = peer else {
            // Nobody saw the first one.
            let name = format!("cluster.{}.upstream_rq_retry", case.name());
            return (1 + self.envoy.stat(&name).await, None);
        };
        let tries = peer.tries(case.promise.1);
        let limit = tries
            .first()
            .and_then(|first| first.headers.get("grpc-timeout"));
        let limit =
            limit.map(|limit| mesh_context::parse_grpc_timeout(limit).expect("well formed"));
        (tries.len() as u64, limit)
    }
}

impl Case {
    /// Of the way and of its numbers.
    fn name(&self) -> String {
        let (service, path, ..) = self.promise;
        let route = path.rsplit('/').next().unwrap_or_default();
        let manner = self
            .manner
            .map_or_else(|| "nobody".to_owned(), |manner| format!("{manner:?}"));
        format!("{service}-{route}-{manner}")
    }

    fn way(&self, istio: &Istio, endpoint: Endpoint) -> Outbound {
        let way = match self.promise.0 {
            "gateway" => istio.ingress(self.listen, endpoint),
            service => istio.outbound(service, self.listen, &[endpoint]),
        };
        Outbound {
            name: self.name(),
            ..way
        }
    }

    /// Makes the call; what was heard, and after which time.
    async fn run(&self) -> (String, Duration) {
        let start = Instant::now();
        let heard = match self.promise {
            ("gateway", path, ..) => Http::new(self.listen)
                .get(path)
                .send()
                .await
                .status
                .to_string(),
            (_, path, ..) => format!("{:?}", call(self.listen, path, &[], &()).await.code),
        };
        (heard, start.elapsed())
    }

    fn promised(&self) -> Outcome {
        use Manner::{Answers, Fails, FailsLate, Refuses, Resets, Silent};
        let (service, _, _, tries) = self.promise;
        let edge = service == "gateway";
        let again = match (self.manner, tries) {
            (_, Tries::JustOne) | (Some(Answers | FailsLate(_)), _) => false,
            // Only what says that nothing was done. HTTP/1 cannot say so.
            (Some(Refuses), _) => !edge,
            (None, _) => true,
            (Some(Silent | Resets | Fails(Code::Unavailable | Code::DeadlineExceeded)), tries) => {
                tries != Tries::One
            }
            // A shed call, a bug, or a timeout that calls itself CANCELLED.
            (Some(Fails(_)), _) => false,
        };
        let heard = match self.manner {
            Some(Answers) if edge => "200".to_owned(),
            Some(Silent) if edge => "504".to_owned(),
            _ if edge => "503".to_owned(),
            Some(Answers) => format!("{:?}", Code::Ok),
            Some(Fails(code) | FailsLate(code)) => format!("{code:?}"),
            // As Envoy says it when there is no answer.
            _ => format!("{:?}", Code::Unavailable),
        };
        Outcome {
            tries: if again { 2 } else { 1 },
            heard,
            in_time: true,
        }
    }

    /// The time that a peer's silence takes is a promise; all else only has to be done by then.
    fn in_time(&self, took: Duration) -> bool {
        let (_, _, timeout, tries) = self.promise;
        let least = match (self.manner, tries) {
            (Some(Manner::Silent), Tries::Two(each)) => Duration::from_millis(2 * each),
            (Some(Manner::Silent), _) => Duration::from_millis(timeout),
            _ => Duration::ZERO,
        };
        let most = 2 * Duration::from_millis(timeout) + Duration::from_secs(1);
        (least..most).contains(&took)
    }

    /// What the peer is told of the first try's time, if there is one and gRPC says it.
    fn first_limit(&self) -> Option<Duration> {
        let (service, _, timeout, tries) = self.promise;
        let limit = match tries {
            Tries::Two(each) => each,
            Tries::One | Tries::JustOne => timeout,
        };
        let told = service != "gateway" && self.manner.is_some();
        told.then(|| Duration::from_millis(limit))
    }
}

/// Of two replicas one answers with a code, over and over.
async fn is_left_out(version: &str, code: Code) -> bool {
    let (bad, good) = (
        Rude::start(Manner::Fails(code)).await,
        Rude::start(Manner::Answers).await,
    );
    let mut ports = Ports::default();
    let listen = ports.take();
    let endpoints = [&bad, &good].map(|replica| Endpoint::always(replica.address()));
    let sidecar = Sidecar {
        service: "orders",
        inbound: None,
        outbound: vec![Istio::of_the_shop().outbound("payments", listen, &endpoints)],
        tracing: None,
    };
    let envoy = Envoy::start(version, &sidecar).await;
    // More than it takes: the bad one gets every other call.
    for _ in 0..40 {
        let _answer = call(listen, rpc::CHARGE, &[], &()).await;
    }
    let out = envoy
        .stat("cluster.payments.outlier_detection.ejections_active")
        .await;
    if out > 0 {
        let before = bad.tries(rpc::CHARGE).len();
        for _ in 0..10 {
            let answer = call(listen, rpc::CHARGE, &[], &()).await;
            assert_eq!(answer.code, Code::Ok, "Envoy {version}: {}", answer.message);
        }
        assert_eq!(bad.tries(rpc::CHARGE).len(), before, "Envoy {version}");
    }
    out > 0
}

/// What the DestinationRules say of replicas in trouble, and of bugs, which all replicas have.
#[tokio::test]
async fn a_replica_in_trouble_is_left_out_and_one_with_a_bug_is_not() {
    for version in ENVOYS {
        for (code, out) in [
            (Code::Unavailable, true),
            (Code::DeadlineExceeded, true),
            (Code::Internal, false),
            (Code::ResourceExhausted, false),
        ] {
            assert_eq!(
                is_left_out(version, code).await,
                out,
                "Envoy {version}: {code:?}"
            );
        }
    }
}
