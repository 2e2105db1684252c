//! Every route, asked without a socket, and the listener with one.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::Empty;
use mesh_config::Section;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{advance, timeout},
};
use tokio_test::{assert_pending, task};

use super::*;
use crate::telemetry::LogLevel;

const HERE: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

struct Example;

impl Section for Example {
    fn read(reader: &mut Reader<'_>) -> Self {
        reader.duration("MESH_REQUEST_TIMEOUT", Duration::from_secs(5));
        reader.secret_url(
            "MESH_STORE_URL",
            "postgres://shop:hunter2@db/shop",
            &["postgres"],
        );
        Self
    }
}

fn state() -> Arc<State> {
    let registry = Registry::new();
    registry
        .register(Box::new(
            prometheus::IntCounter::new("orders_total", "Orders.").unwrap(),
        ))
        .unwrap();
    Arc::new(State {
        name: "orders",
        heartbeat: Heartbeat::new(),
        readiness: Readiness::default(),
        registry,
        settings: mesh_config::load::<Example>(&BTreeMap::new())
            .unwrap()
            .settings,
        log_level: LogLevel::unattached(),
        profiling: Profiling::default(),
    })
}

async fn ask(state: &Arc<State>, method: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Empty::<Bytes>::new())
        .unwrap();
    read(answer(Arc::clone(state), HERE.into(), request).await).await
}

async fn read(answer: Answer) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_index_lists_every_route() {
    let (status, body) = ask(&state(), "GET", "/").await;
    assert_eq!(status, StatusCode::OK);
    for route in ROUTES {
        let line = body
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(route.path));
        assert!(
            line.is_some_and(|line| line.starts_with(route.method) && line.ends_with(route.about)),
            "{route:?}"
        );
    }
    let (status, profiles) = ask(&state(), "GET", "/debug/pprof/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(profiles.lines().all(|line| line.contains("/debug/pprof/")));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    assert_eq!(
        ask(&state(), "GET", "/nowhere").await.0,
        StatusCode::NOT_FOUND
    );
    let request = Request::delete("/metrics")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let refusal = answer(state(), HERE.into(), request).await;
    assert_eq!(refusal.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refusal.headers()[header::ALLOW], "GET");
    assert_eq!(ask(&state(), "HEAD", "/healthz").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_main_runtime_that_does_not_turn_is_not_alive() {
    let state = state();
    advance(Duration::from_millis(9_999)).await;
    assert_eq!(ask(&state, "GET", "/healthz").await.0, StatusCode::OK);
    advance(Duration::from_millis(1)).await;
    let (status, body) = ask(&state, "GET", "/healthz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        parse(&body),
        json!({"status": "stuck", "last_heartbeat": "10s"})
    );
}

#[tokio::test]
async fn readiness_names_what_it_waits_for_and_recovers() {
    let state = state();
    let store = state.readiness.register("store");
    let (status, body) = ask(&state, "GET", "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        parse(&body),
        json!({"status": "not ready", "waiting_for": ["store"]})
    );
    store.ready();
    let (status, body) = ask(&state, "GET", "/readyz").await;
    assert_eq!(
        (status, parse(&body)),
        (StatusCode::OK, json!({"status": "ready"}))
    );
    state.readiness.drain();
    let (status, body) = ask(&state, "GET", "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(parse(&body)["waiting_for"], json!(["shutdown"]));
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_the_process_is_built_is_told_when_it_is() {
    let state = state();
    let starting = state.readiness.starting();
    let mut ready = task::spawn(ask(&state, "GET", "/readyz"));
    let mut metrics = task::spawn(ask(&state, "GET", "/metrics"));
    assert_pending!(ready.poll());
    assert_pending!(metrics.poll());
    let alive = ask(&state, "GET", "/healthz").await;
    assert_eq!(alive.0, StatusCode::OK);

    let _store = state.readiness.register("store");
    starting.ready();
    let (_, body) = ready.await;
    assert_eq!(parse(&body)["waiting_for"], json!(["store"]));
    assert_eq!(metrics.await.0, StatusCode::OK);

    let _never_built = state.readiness.starting();
    let (_, body) = ask(&state, "GET", "/readyz").await;
    assert_eq!(parse(&body)["waiting_for"], json!(["start", "store"]));
}

#[tokio::test]
async fn while_a_profile_is_taken_others_are_refused() {
    let state = state();
    let taken = state.profiling.begin(Duration::from_secs(9));
    for path in ["/debug/pprof/heap", "/debug/pprof/profile?seconds=1"] {
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        let refused = answer(Arc::clone(&state), HERE.into(), request).await;
        assert_eq!(refused.status(), StatusCode::CONFLICT, "{path}");
        assert_eq!(refused.headers()[header::RETRY_AFTER], "9", "{path}");
    }
    drop(taken);
}

#[tokio::test]
async fn metrics_settings_and_version_are_shown() {
    let state = state();
    assert!(
        ask(&state, "GET", "/metrics")
            .await
            .1
            .contains("orders_total 0")
    );
    let (_, settings) = ask(&state, "GET", "/config").await;
    assert_eq!(
        parse(&settings),
        json!({"MESH_REQUEST_TIMEOUT": "5s", "MESH_STORE_URL": "postgres://***@db/shop"})
    );
    let (_, version) = ask(&state, "GET", "/version").await;
    assert_eq!(parse(&version)["name"], "orders");
    assert!(parse(&version)["version"].is_string() && parse(&version)["git_sha"].is_string());
}

#[tokio::test]
async fn the_log_level_is_changed_from_loopback_only_and_by_directives_only() {
    let state = state();
    for (peer, body, status) in [
        ("127.0.0.1:40000", "info,h2=debug\n", StatusCode::NO_CONTENT),
        ("[::1]:40000", "warn", StatusCode::NO_CONTENT),
        ("[::ffff:127.0.0.1]:40000", "warn", StatusCode::NO_CONTENT),
        ("10.1.2.3:40000", "warn", StatusCode::FORBIDDEN),
        ("127.0.0.1:40000", "", StatusCode::BAD_REQUEST),
        ("127.0.0.1:40000", "info,[broken", StatusCode::BAD_REQUEST),
        (
            "127.0.0.1:40000",
            &"x".repeat(MAX_BODY + 1),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let request = Request::put("/log-level")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let answer = answer(Arc::clone(&state), peer.parse().unwrap(), request).await;
        assert_eq!(answer.status(), status, "{peer} {body:.20}");
    }
}

/// As it is shipped.
#[cfg(not(feature = "crash-points"))]
#[tokio::test]
async fn without_crash_points_there_is_no_route_for_them() {
    for (method, path) in [
        ("GET", "/debug/crash-points"),
        ("PUT", "/debug/crash-points/orders.charge.after"),
    ] {
        let (status, _) = ask(&state(), method, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn crash_points_are_listed_and_armed_from_loopback_only() {
    crate::crash_points::declare(&["tiny.step.after"]);
    crate::crash_point("tiny.step.after");
    let put = async |peer: &str, path: &str, body: &'static str| {
        let request = Request::put(format!("/debug/crash-points{path}"))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        answer(state(), peer.parse().unwrap(), request)
            .await
            .status()
    };
    let here = "127.0.0.1:40000";
    for (peer, path, body, status) in [
        (here, "/tiny.step.after", "x", StatusCode::BAD_REQUEST),
        (here, "/tiny.step.before", "", StatusCode::NOT_FOUND),
        (here, "", "", StatusCode::NOT_FOUND),
        ("10.1.2.3:1", "/tiny.step.after", "", StatusCode::FORBIDDEN),
        (here, "/tiny.step.after", "2\n", StatusCode::NO_CONTENT),
    ] {
        assert_eq!(put(peer, path, body).await, status, "{peer} {path} {body}");
    }
    crate::crash_point("tiny.step.after");
    let (_, list) = ask(&state(), "GET", "/debug/crash-points").await;
    assert_eq!(
        parse(&list),
        json!({"tiny.step.after": {"passes": 2, "armed": 1}})
    );
}

#[tokio::test]
async fn the_listener_answers_and_closes_on_what_is_no_http() {
    let bound = Bound::bind(&AdminConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    })
    .unwrap();
    let addr = bound.addr().unwrap();
    let serving = bound.serve(Arc::into_inner(state()).unwrap());
    let asking = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"\0\0\0\0\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"));
    };
    let both = async {
        tokio::select! {
            ended = serving => panic!("the listener ended: {ended:?}"),
            () = asking => {}
        }
    };
    timeout(Duration::from_secs(10), both)
        .await
        .expect("both clients get their answer");
}
