//! The receiver as processes meet it: over OTLP/gRPC, with good spans and bad ones, and another collector behind it.

#![cfg(test)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_traces::{Filter, Forward, Receiver, Store, TraceId};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::{
    Message as _,
    bytes::{Buf, BufMut},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

/// Much longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
const ROOM: usize = 64 << 20;

/// A receiver that serves until it is dropped.
struct Running {
    endpoint: String,
    _server: JoinSet<()>,
}

impl Running {
    fn start(store: &Store, forward: Option<Forward>) -> Self {
        let receiver = Receiver::bind(store.clone(), forward).unwrap();
        let endpoint = receiver.endpoint();
        let mut server = JoinSet::new();
        server.spawn(async move { receiver.serve().await.unwrap() });
        Self {
            endpoint,
            _server: server,
        }
    }

    async fn client(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(self.endpoint.clone())
            .await
            .unwrap()
    }
}

fn id(n: u64) -> TraceId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    TraceId(bytes)
}

fn request(traces: impl IntoIterator<Item = u64>, name: &str) -> ExportTraceServiceRequest {
    let span = |trace| Span {
        trace_id: id(trace).0.to_vec(),
        span_id: vec![1; 8],
        name: name.to_owned(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: traces.into_iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        timeout(LIMIT, wait).await.is_ok(),
        "not within {LIMIT:?}: {what}"
    );
}

/// Sends bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

async fn send_raw(channel: &Channel, bytes: Vec<u8>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let sent = grpc.unary(Request::new(bytes), path.parse().unwrap(), Raw);
    sent.await.map(|_| ())
}

#[tokio::test]
async fn what_processes_send_at_the_same_time_is_all_kept() {
    let store = Store::new(ROOM);
    let running = Running::start(&store, None);
    assert!(running.endpoint.starts_with("http://127.0.0.1:"));
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let client = running.client().await;
        for batch in 0..8 {
            let mut client = client.clone();
            let first = (sender * 8 + batch) * 50;
            senders.spawn(async move {
                let sent = client.export(request(first..first + 50, "x"));
                sent.await.unwrap();
            });
        }
    }
    senders.join_all().await;
    let stats = store.stats();
    assert_eq!((stats.traces, stats.spans), (1_600, 1_600));
    assert_eq!((stats.received_spans, stats.dropped_spans), (1_600, 0));
}

#[tokio::test]
async fn a_request_that_cannot_be_read_fails_alone() {
    let store = Store::new(ROOM);
    let running = Running::start(&store, None);
    let endpoint = Endpoint::from_shared(running.endpoint.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();

    let good = request([1], "MARK").encode_to_vec();
    let mut no_utf8 = good.clone();
    let mark = no_utf8.windows(4).position(|four| four == b"MARK").unwrap();
    no_utf8[mark] = 0xff;
    for bad in [no_utf8, good[..good.len() - 1].to_vec(), vec![0xff; 100]] {
        let refused = send_raw(&channel, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{refused}");
    }
    let large = request([2], &"x".repeat(4 << 20)).encode_to_vec();
    let refused = send_raw(&channel, large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert_eq!(store.stats().received_spans, 0);

    send_raw(&channel, good).await.unwrap();
    assert!(store.get(id(1)).is_some());
}

/// Another collector: takes requests, and says of one span each that it does not want it.
#[derive(Clone, Default)]
struct Picky {
    taken: Arc<Mutex<Vec<(MetadataMap, ExportTraceServiceRequest)>>>,
}

#[tonic::async_trait]
impl TraceService for Picky {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.taken.lock().unwrap().push((metadata, message));
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 1,
                error_message: "not this one".to_owned(),
            }),
        }))
    }
}

#[tokio::test]
async fn the_other_collector_gets_the_same_requests() {
    let picky = Picky::default();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let router = Server::builder().add_service(TraceServiceServer::new(picky.clone()));
    let mut server = JoinSet::new();
    server.spawn(router.serve_with_incoming(incoming));

    let forward = Forward::to(&endpoint).unwrap();
    let forwarding = forward.forwarding();
    let store = Store::new(ROOM);
    let running = Running::start(&store, Some(forward));
    let mut client = running.client().await;
    for trace in 0..3 {
        let mut request = Request::new(request([trace], "x"));
        let token = format!("token-{trace}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        client.export(request).await.unwrap();
    }
    timeout(LIMIT, forwarding.flushed()).await.unwrap();
    let taken = picky.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 3);
    for (trace, (metadata, message)) in (0..).zip(taken) {
        assert_eq!(message, request([trace], "x"));
        let token = metadata.get("authorization").unwrap();
        assert_eq!(token, &format!("token-{trace}"));
    }
    let health = forwarding.health().borrow().clone();
    assert_eq!((health.dropped_spans, health.problem), (3, None));
    assert_eq!(forwarding.missing(), 3);
    assert_eq!(store.stats().spans, 3);
}

#[tokio::test]
async fn a_collector_that_is_absent_costs_counted_spans_and_nothing_else() {
    // Bound for a moment, so that nobody listens there.
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    drop(incoming);
    let forward = Forward::to(&endpoint).unwrap();
    let health = forward.forwarding().health();
    let store = Store::new(ROOM);
    let running = Running::start(&store, Some(forward));
    let mut client = running.client().await;
    for trace in 0..10 {
        client.export(request([trace], "x")).await.unwrap();
    }
    assert_eq!(store.recent(&Filter::default(), 99).len(), 10);
    eventually("all are counted", || health.borrow().dropped_spans == 10).await;
    let problem = health.borrow().problem.clone().unwrap();
    assert!(problem.contains("refused"), "{problem}");
}

#[tokio::test]
async fn what_waits_for_a_collector_that_hangs_is_bounded() {
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let forward = Forward::to(&endpoint).unwrap();
    let forwarding = forward.forwarding();
    let health = forwarding.health();
    let store = Store::new(ROOM);
    let running = Running::start(&store, Some(forward));
    let mut client = running.client().await;
    let name = "x".repeat(1 << 20);
    for trace in 0..10 {
        client.export(request([trace], &name)).await.unwrap();
    }
    // A MiB and some each, of four that may wait.
    assert!(health.borrow().dropped_spans >= 6);
    assert_eq!(forwarding.missing(), 10);
    assert_eq!(store.stats().traces, 10);
}

#[test]
fn only_an_address_of_a_collector_is_taken() {
    for bad in ["", "localhost:4317", "https://a:4317", "http://", "a b"] {
        let refused = Forward::to(bad).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("{bad:?} must be http://")),
            "{refused}"
        );
    }
    assert!(Forward::to("http://localhost:4317").is_ok());
}
