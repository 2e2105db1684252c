//! What comes from outside decides nothing: the ingress, told what `istio/` says, on real Envoys.

use std::{fs, path::Path, process::Command};

use mesh_tests::{
    Collector, Http, Manner, Ports, Processes, Received, Recorder, Reply, Rude, Shop,
    envoy::{ENVOYS, Endpoint, Envoy, INGRESS, Istio, Sidecar, Tracing, sidecar_of},
};
use serde_json::json;
use tonic::Code;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// As an ingress writes it for what it samples.
const SAMPLED_ID: &str = "386ef654-eb83-9064-9a2c-3d1f6f9f2c11";
/// What somebody outside may try: to be traced, to be traced as part of another trace, to make us give up, or try again.
const OUTSIDE: [(&str, &str); 15] = [
    ("traceparent", PARENT),
    ("tracestate", "vendor=1"),
    ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"),
    ("x-b3-traceid", TRACE),
    ("x-b3-spanid", "b7ad6b7169203331"),
    ("x-b3-parentspanid", "b7ad6b7169203332"),
    ("x-b3-sampled", "1"),
    ("x-b3-flags", "1"),
    ("x-ot-span-context", "0af7651916cd43dd;b7ad6b7169203331;1"),
    ("x-client-trace-id", "outside"),
    ("grpc-timeout", "1n"),
    ("x-envoy-force-trace", "true"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-max-retries", "9"),
    ("x-request-id", SAMPLED_ID),
];
/// What proxies write themselves.
const OWN: [&str; 3] = ["traceparent", "tracestate", "x-request-id"];

/// The ingress, and a recorder in the place of the gateway.
struct Edge {
    gateway: Recorder,
    collector: Collector,
    envoy: Envoy,
    entry: Http,
    _ports: Ports,
}

impl Edge {
    /// With what the manifests put into its connection manager, or without.
    async fn start(version: &str, random_percent: u32, cleans: bool) -> Self {
        let gateway = Recorder::start().await;
        gateway.reply("/", Reply::Status(Code::Ok, ""));
        let collector = Collector::start();
        let mut ports = Ports::default();
        let listen = ports.take();
        let mut way = Istio::of_the_shop().ingress(listen, Endpoint::always(gateway.address()));
        if !cleans {
            way.edge = Some(json!({}));
        }
        let sidecar = Sidecar {
            service: INGRESS,
            inbound: None,
            outbound: vec![way],
            tracing: Some(Tracing {
                to: collector.address(),
                random_percent,
            }),
        };
        Self {
            gateway,
            collector,
            envoy: Envoy::start(version, &sidecar).await,
            entry: Http::new(listen),
            _ports: ports,
        }
    }

    /// A request with these headers, as the gateway got it.
    async fn reaches_the_gateway(&self, headers: &[(&str, &str)]) -> Received {
        let request = self.entry.get("/").headers(headers.iter().copied());
        let _answer = request.send().await.expect_status(200);
        self.gateway.take_one()
    }
}

/// The trace id and the flags of a `traceparent`.
fn context(request: &Received) -> (String, String) {
    let parent = request.header("traceparent");
    let parts: Vec<_> = parent.split('-').collect();
    let [_, trace, _, flags] = parts[..] else {
        panic!("traceparent {parent:?} in {request:?}")
    };
    (trace.to_owned(), flags.to_owned())
}

#[tokio::test]
async fn nothing_from_outside_is_traced_when_we_trace_nothing() {
    for version in ENVOYS {
        let mut edge = Edge::start(version, 0, true).await;
        let each = OUTSIDE.iter().map(std::slice::from_ref);
        for headers in each.chain([&OUTSIDE[..]]) {
            let request = edge.reaches_the_gateway(headers).await;
            for (name, sent) in headers {
                let got = request.header(name);
                let own = OWN.contains(name) && got != *sent;
                assert!(own || got.is_empty(), "Envoy {version}: {name}: {got}");
            }
            let (trace, flags) = context(&request);
            assert_eq!(flags, "00", "Envoy {version}: {headers:?}");
            assert_ne!(trace, TRACE, "Envoy {version}: {headers:?}");
        }
        edge.envoy.stop().await;
        let spans = edge.collector.spans();
        assert!(spans.is_empty(), "Envoy {version}: {spans:?}");
    }
}

#[tokio::test]
async fn our_own_percentage_makes_new_traces() {
    for version in ENVOYS {
        let mut edge = Edge::start(version, 100, true).await;
        let never = [
            ("traceparent", &*PARENT.replace("-01", "-00")),
            ("x-b3-sampled", "0"),
        ];
        let request = edge.reaches_the_gateway(&never).await;
        let (trace, flags) = context(&request);
        assert_eq!(flags, "01", "Envoy {version}");
        assert_ne!(trace, TRACE, "Envoy {version}");
        edge.envoy.stop().await;
        let spans = edge.collector.trace(&trace);
        let services: Vec<_> = spans.iter().map(|span| &span.service).collect();
        assert_eq!(
            services,
            [&sidecar_of(INGRESS)],
            "Envoy {version}: {spans:?}"
        );
    }
}

/// Why the manifest is there. When this fails, Envoy has become more careful.
#[tokio::test]
async fn without_the_filter_the_outside_decides() {
    for version in ENVOYS {
        let edge = Edge::start(version, 0, false).await;
        let request = edge.reaches_the_gateway(&[("traceparent", PARENT)]).await;
        assert_eq!(context(&request).0, TRACE, "Envoy {version}");
        let request = edge
            .reaches_the_gateway(&[("x-client-trace-id", "outside")])
            .await;
        assert_eq!(context(&request).1, "01", "Envoy {version}: {request:?}");
        let request = edge.reaches_the_gateway(&[("grpc-timeout", "1n")]).await;
        assert_eq!(request.header("grpc-timeout"), "1n", "Envoy {version}");
    }
}

/// The gateway believes what it is told here (`MESH_TRUST_EDGE_HEADERS`), and is told nothing from outside.
#[tokio::test]
async fn a_gateway_that_trusts_its_ingress_works_as_long_as_it_should() {
    for version in ENVOYS {
        let processes = Processes::all()
            .set("MESH_TRUST_EDGE_HEADERS", "true")
            .start()
            .await;
        let mut ports = Ports::default();
        let listen = ports.take();
        let gateway = Endpoint::always(processes.address("gateway"));
        let sidecar = Sidecar {
            service: INGRESS,
            inbound: None,
            outbound: vec![Istio::of_the_shop().ingress(listen, gateway)],
            tracing: None,
        };
        let _envoy = Envoy::start(version, &sidecar).await;
        let shop = Shop::new(Http::new(listen));
        let sku = shop.first_sku().await;
        let order = shop.order("one", &sku, 1, "tok_slow").headers(OUTSIDE);
        let order = order.send().await.expect_status(201);
        assert_ne!(order.header("x-trace-id"), TRACE, "Envoy {version}");
    }
}

/// `istio/auth` with the keys and the token that `scripts/demo-keys` makes.
#[tokio::test]
async fn with_the_requirement_only_a_token_opens_the_ingress() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Below target/, where kustomize is.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for keys");
    let made = Command::new(root.join("scripts/demo-keys"))
        .arg(folder.path())
        .output();
    let made = made.expect("it runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let token = fs::read_to_string(folder.path().join("token")).expect("a token");
    let istio = Istio::of_the_shop().under(folder.path());
    for version in ENVOYS {
        let gateway = Rude::start(Manner::Answers).await;
        let mut ports = Ports::default();
        let listen = ports.take();
        let sidecar = Sidecar {
            service: INGRESS,
            inbound: None,
            outbound: vec![istio.ingress(listen, Endpoint::always(gateway.address()))],
            tracing: None,
        };
        let _envoy = Envoy::start(version, &sidecar).await;
        let entry = Http::new(listen);
        let forged = token.replacen('.', ".e", 1);
        for (path, token, status) in [
            ("/v1/products", Some(&token), 200),
            ("/v1/products", Some(&forged), 401),
            ("/v1/products", None, 403),
            ("/docs", None, 200),
            ("/docs", Some(&forged), 401),
        ] {
            let mut request = entry.get(path);
            if let Some(token) = token {
                request = request.header("authorization", &format!("Bearer {token}"));
            }
            let answer = request.send().await;
            assert_eq!(answer.status, status, "Envoy {version}: {path}, {token:?}");
        }
        assert_eq!(gateway.tries("/v1/products").len(), 1, "Envoy {version}");
    }
}
