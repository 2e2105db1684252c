use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use mesh_context::Policy;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::*;
use crate::shutdown::Trigger;

/// A server on a port of its own.
struct Running {
    addr: SocketAddr,
    server: JoinSet<Drained>,
    trigger: Trigger,
    readiness: Readiness,
    kept: Arc<fixtures::Kept>,
}

impl Running {
    async fn start(inbound: Inbound) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (trigger, readiness) = (Trigger::new(), Readiness::default());
        let kept = Arc::new(fixtures::Kept::default());
        let parts = ServerParts {
            policy: Policy::inside(Duration::from_secs(5)),
            concurrency: 10,
            registry: prometheus::Registry::new(),
            access_log: Arc::clone(&kept) as _,
            readiness: readiness.clone(),
            shutdown: trigger.shutdown(),
        };
        let mut server = JoinSet::new();
        server.spawn(Server::new(listener, inbound, parts).unwrap().serve());
        Self {
            addr,
            server,
            trigger,
            readiness,
            kept,
        }
    }

    async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.addr);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    async fn drained(&mut self) -> Drained {
        let limit = Duration::from_secs(10);
        let drained = tokio::time::timeout(limit, self.server.join_next()).await;
        drained.expect("drained in time").unwrap().unwrap()
    }
}

fn http(router: Router) -> Inbound {
    Inbound::Http(HttpInbound::new(
        router,
        vec![Route::new(::http::Method::GET, "/")],
    ))
}

async fn connect(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(bytes).await.unwrap();
    client
}

/// An HTTP/2 connection that never says the end of its first request's headers.
fn half_headers() -> Vec<u8> {
    [fixtures::HELLO, fixtures::HALF].concat()
}

async fn rest(mut client: TcpStream) -> String {
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    rest
}

/// Waits until the other side has closed all of these.
async fn closed(clients: Vec<TcpStream>) {
    for mut client in clients {
        // A reset is an end too.
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
}

/// In real time, for what counts is when bytes really come.
#[tokio::test]
async fn headers_that_do_not_end_have_five_seconds() {
    let http = Running::start(http(Router::new())).await;
    let grpc = Running::start(Inbound::Grpc(GrpcInbound::new(&[]))).await;
    let half_headers = half_headers();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for (addr, said) in [
        (http.addr, &b"GET / HTTP/1.1\r\nhost: "[..]),
        (http.addr, &half_headers),
        (grpc.addr, &half_headers),
    ] {
        clients.push(connect(addr, said).await);
    }
    closed(clients).await;
    // A ping finds the same, but after 15 s.
    let after = begun.elapsed().as_secs();
    assert!((5..12).contains(&after), "{after} s");
}

#[tokio::test]
async fn a_request_in_flight_finishes_and_silent_connections_do_not_delay_the_end() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let finish = Arc::new(tokio::sync::Notify::new());
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&finish));
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            wait.notified().await;
            "done"
        }),
    );
    let mut running = Running::start(http(router)).await;
    let mut silent = Vec::new();
    for said in [&b""[..], b"GET /", fixtures::HELLO, &half_headers()] {
        silent.push(connect(running.addr, said).await);
    }
    let client = connect(running.addr, b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    begun.notified().await;

    running.trigger.close();
    closed(silent).await;
    assert!(TcpStream::connect(running.addr).await.is_err());
    finish.notify_one();
    let answer = rest(client).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    assert_eq!(running.drained().await, Drained::default());
}

#[tokio::test]
async fn a_request_that_cannot_finish_is_cut_and_named() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&begun);
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let mut running = Running::start(http(router)).await;
    let _client = connect(running.addr, b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    begun.notified().await;
    running.trigger.close();
    running.trigger.cut();
    let cut = running.drained().await.cut;
    assert!(cut.len() == 1 && cut[0].starts_with("GET / "), "{cut:?}");
}

#[tokio::test]
async fn grpc_health_follows_readiness_and_strangers_are_unimplemented() {
    let mut running = Running::start(Inbound::Grpc(GrpcInbound::new(&[]))).await;
    let store = running.readiness.register("store");
    let mut health = HealthClient::new(running.channel().await);
    let whole = HealthCheckRequest::default;
    let answer = health.check(whole()).await.unwrap();
    assert_eq!(answer.get_ref().status(), ServingStatus::NotServing);
    assert!(answer.metadata().contains_key("x-trace-id"));
    store.ready();
    let answer = health.check(whole()).await.unwrap();
    assert_eq!(answer.get_ref().status(), ServingStatus::Serving);
    let mut watch = health.watch(whole()).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    let mut stranger = tonic::client::Grpc::new(running.channel().await);
    stranger.ready().await.unwrap();
    let path = ::http::uri::PathAndQuery::from_static("/shop.nobody.v1.Nobody/Do");
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
    let answer = stranger
        .unary(tonic::Request::new(whole()), path, codec)
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);

    let lines = running.kept.lines.lock().unwrap().clone();
    assert!(lines[0].starts_with("POST /grpc.health.v1.Health/Check 200 OK"));
    assert!(lines[2].starts_with("POST unmatched 200 UNIMPLEMENTED"));

    // A watch never ends of itself, and must not keep the process.
    running.trigger.drain();
    let last = watch.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(watch.message().await.unwrap().is_none());
    running.trigger.close();
    assert_eq!(running.drained().await, Drained::default());
}

#[tokio::test]
async fn reflection_names_the_services() {
    let running = Running::start(Inbound::Grpc(GrpcInbound::new(&[]))).await;
    let mut reflection = ServerReflectionClient::new(running.channel().await);
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = futures_util::stream::iter([question]);
    let mut answers = reflection
        .server_reflection_info(questions)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed.service.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["grpc.health.v1.Health"]);
}

#[tokio::test]
async fn a_service_or_rpc_that_is_not_described_is_refused_at_the_start() {
    let (readiness, trigger) = (Readiness::default(), Trigger::new());
    let build = |inbound: GrpcInbound| {
        let built = inbound.build(readiness.clone(), trigger.shutdown());
        built.err().map(|error| error.to_string())
    };
    assert_eq!(build(GrpcInbound::new(&[])), None);
    let critical = GrpcInbound::new(&[]).critical("/shop.a.v1.A/Do");
    let expected = "/shop.a.v1.A/Do is called critical but no service here has it";
    assert_eq!(build(critical).as_deref(), Some(expected));
}
