//! The canary and every fault of `istio/`, on real Envoys between real services: what is written beside each comes true.
#![expect(
    clippy::print_stdout,
    reason = "what was measured is shown, not only judged"
)]

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use http::Method;
use mesh_proto::payments::v1::ChargeState;
use mesh_tests::{
    Answer, Ports, Processes, Recorder, Request, Shop, call,
    envoy::{ENVOYS, Endpoint, Envoy, Istio, Sidecar},
    eventually, rpc,
};
use tokio::{task::JoinSet, time::Instant};

/// Requests under way at once.
const AT_ONCE: usize = 10;
/// Until an order whose payment is unknown has come to an end.
const SETTLED: Duration = Duration::from_secs(60);
/// The callers and their peers.
const CALLS: [(&str, [&str; 2]); 2] = [
    ("gateway", ["orders", "inventory"]),
    ("orders", ["inventory", "payments"]),
];

/// What `expect.env` says.
struct Expected(BTreeMap<String, String>);

impl Expected {
    fn of(folder: &Path) -> Self {
        let file = folder.join("expect.env");
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) = line
                .split_once('=')
                .unwrap_or_else(|| panic!("{line:?} is no setting"));
            (name.to_owned(), value.to_owned())
        };
        Self(lines.map(pair).collect())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> T {
        let value = self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number"))
    }

    /// An order comes to its end, if one is expected.
    async fn settles(&self, customer: &Shop, order: &Answer) {
        let Some(end) = self.0.get("SETTLES_AS") else {
            return;
        };
        let order = order.json();
        let path = format!("/v1/orders/{}", order["id"].as_str().expect("an id"));
        eventually(SETTLED, &format!("the order is {end}"), async || {
            let order = customer.get(&path).await;
            if order["status"] == **end {
                Ok(())
            } else {
                Err(order)
            }
        })
        .await;
    }

    /// The n-th request.
    fn request(&self, shop: &Shop, sku: &str, fault: &str, n: usize) -> Request {
        match self.0["REQUEST"].as_str() {
            "order" => shop.order(&format!("{fault}-{n}"), sku, 1, "tok_ok"),
            "products" => shop.request(Method::GET, "/v1/products"),
            other => panic!("REQUEST={other} is not known"),
        }
    }
}

/// The shop with sidecars on the way out of its callers, which can be told something else.
struct Drilled {
    processes: Processes,
    listen: BTreeMap<(&'static str, &'static str), SocketAddr>,
    _ports: Ports,
}

impl Drilled {
    async fn start() -> Self {
        let mut ports = Ports::default();
        let mut listen = BTreeMap::new();
        let mut builder = Processes::all();
        for (caller, peers) in CALLS {
            for peer in peers {
                let variable = format!("MESH_{}_URL", peer.to_uppercase());
                let address = *listen.entry((caller, peer)).or_insert_with(|| ports.take());
                builder = builder.set_of(caller, &variable, format!("http://{address}"));
            }
        }
        Self {
            processes: builder.start().await,
            listen,
            _ports: ports,
        }
    }

    /// Sidecars that know these manifests; dropped, they are gone.
    async fn told(&self, version: &str, istio: &Istio) -> Vec<Envoy> {
        let mut sidecars = Vec::new();
        for (caller, peers) in CALLS {
            let way = |peer| {
                let endpoint = Endpoint::always(self.processes.address(peer));
                istio.outbound(peer, self.listen[&(caller, peer)], &[endpoint])
            };
            let sidecar = Sidecar {
                service: caller,
                inbound: None,
                outbound: peers.map(way).into(),
                tracing: None,
            };
            sidecars.push(Envoy::start(version, &sidecar).await);
        }
        sidecars
    }
}

#[tokio::test]
async fn every_fault_does_what_is_written_beside_it() {
    // Most of the time is waiting.
    let [one, other] = ENVOYS;
    tokio::join!(every_fault_on(one), every_fault_on(other));
}

async fn every_fault_on(version: &str) {
    let shop = Drilled::start().await;
    let mut faults = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../istio/faults");
    for entry in fs::read_dir(folder).expect("there are faults") {
        let folder = entry.expect("it can be read").path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        let istio = Istio::built(&format!("istio/faults/{name}"));
        let _sidecars = shop.told(version, &istio).await;
        drill(version, name, &Expected::of(&folder), &shop).await;
        faults += 1;
    }
    assert!(faults > 0, "there are no faults");
    // And off again.
    let _sidecars = shop.told(version, &Istio::built("istio/traffic")).await;
    let customer = Shop::with_session(shop.processes.gateway()).await;
    let sku = customer.first_sku().await;
    let order = customer.order("after", &sku, 1, "tok_ok");
    let _order = order.send().await.expect_status(201);
}

async fn drill(version: &str, fault: &str, expected: &Expected, shop: &Drilled) {
    let customer = Shop::with_session(shop.processes.gateway()).await;
    // Those who look for one may be hit by the fault.
    let sku = shop.sku().await;
    let requests: usize = expected.number("REQUESTS");
    let mut seen = Vec::new();
    while seen.len() < requests {
        let at_once = seen.len()..requests.min(seen.len() + AT_ONCE);
        let sent = at_once.map(|n| timed(expected.request(&customer, &sku, fault, n)));
        seen.extend(sent.collect::<JoinSet<_>>().join_all().await);
    }
    let status: u16 = expected.number("STATUS");
    let (hit, spared): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .partition(|(answer, _)| answer.status == status);
    let times = hit.iter().map(|(_, took)| took.as_millis());
    let least = times.clone().min().unwrap_or_default();
    let most = times.max().unwrap_or_default();
    let what = format!(
        "Envoy {version}, {fault}: {} of {requests} were {status}, after {least} to {most} ms",
        hit.len()
    );
    println!("{what}");
    let share = expected.number("SHARE_MIN")..=expected.number("SHARE_MAX");
    assert!(share.contains(&(100 * hit.len() / requests)), "{what}");
    for (answer, _) in spared {
        let _other = answer.expect_status(expected.number("OTHERWISE"));
    }
    assert!(least >= expected.number("AT_LEAST_MS"), "{what}");
    assert!(most <= expected.number("AT_MOST_MS"), "{what}");
    for (answer, _) in hit {
        expected.settles(&customer, &answer).await;
    }
}

async fn timed(request: Request) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = request.send().await;
    (answer, start.elapsed())
}

impl Drilled {
    /// A product, asked for at inventory itself.
    async fn sku(&self) -> String {
        let address = self.processes.address("inventory");
        let request = mesh_proto::inventory::v1::ListProductsRequest::default();
        let page = call(address, rpc::LIST_PRODUCTS, &[], &request).await;
        let page: mesh_proto::inventory::v1::ListProductsResponse = page.decode();
        page.products[0].sku.clone()
    }
}

#[tokio::test]
async fn a_canary_gets_its_share_and_whoever_asks_for_it() {
    const CALLS: usize = 200;
    for version in ENVOYS {
        let (old, new) = (Recorder::start().await, Recorder::start().await);
        for replica in [&old, &new] {
            replica.reply(rpc::CHARGE, rpc::charge(ChargeState::Charged));
        }
        let mut ports = Ports::default();
        let listen = ports.take();
        let endpoints = [
            Endpoint::always(old.address()),
            Endpoint {
                version: "v2",
                ..Endpoint::always(new.address())
            },
        ];
        let sidecar = Sidecar {
            service: "orders",
            inbound: None,
            outbound: vec![Istio::built("istio/canary").outbound("payments", listen, &endpoints)],
            tracing: None,
        };
        let _envoy = Envoy::start(version, &sidecar).await;

        // From the edge to payments, over two services that do not know of it.
        let processes = Processes::all()
            .peer("payments", listen)
            .set("MESH_TRUST_EDGE_HEADERS", "true")
            .start()
            .await;
        let shop = Shop::with_session(processes.gateway()).await;
        let sku = shop.first_sku().await;
        for (n, baggage) in ["payments=v2", "a=b, payments=v2;p", "payments=v2,c=d"]
            .iter()
            .enumerate()
        {
            let order = shop.order(&format!("asked-{n}"), &sku, 1, "tok_ok");
            let _order = order
                .header("baggage", baggage)
                .send()
                .await
                .expect_status(201);
            assert_eq!(
                new.take_one().rpc,
                rpc::CHARGE,
                "Envoy {version}: {baggage}"
            );
        }
        assert!(old.take().is_empty(), "Envoy {version}");

        for n in 0..CALLS {
            let charge = rpc::charge_request(&n.to_string());
            let other = [("baggage", "payments=v20")];
            let answer = call(listen, rpc::CHARGE, &other, &charge).await;
            assert_eq!(answer.code, tonic::Code::Ok, "Envoy {version}");
        }
        let (old, new) = (old.take().len(), new.take().len());
        println!("Envoy {version}: {old} and {new} of {CALLS} calls");
        assert_eq!(old + new, CALLS, "Envoy {version}");
        assert!(
            (3..=50).contains(&new),
            "Envoy {version}: {new} of {CALLS} calls, 10 % are meant"
        );
    }
}
