//! The layer against a mock transport, on a paused clock.

use std::{sync::Mutex, time::Duration};

use http::HeaderMap;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use mesh_context::{Policy, Sampler, Span, SpanSink, Value};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio_test::{assert_pending, assert_ready, task};
use tonic::ConnectError;
use tower_test::mock::{self, Handle, Mock};

use super::*;
use crate::{DownstreamConfig, Error, Kind, Order, Peer, Use};

static PEER: Peer = Peer {
    name: "payments",
    calls: &[Call {
        rpc: "/shop.payments.v1.PaymentsService/Charge",
        cap: Duration::from_millis(3400),
        floor: Duration::from_millis(50),
        uses: &[Use {
            handler: "/shop.orders.v1.OrdersService/PlaceOrder",
            order: Order::Sequence,
            at_most: 1,
        }],
    }],
};

type Transport = Mock<Request<Body>, Response<Body>>;

struct Bench {
    calls: Calls<Transport>,
    peer: Handle<Request<Body>, Response<Body>>,
    registry: Registry,
}

fn bench(context: RequestContext) -> Bench {
    let (transport, peer) = mock::pair();
    let registry = Registry::new();
    let config = DownstreamConfig {
        url: "http://payments:50051".parse().expect("a URL"),
        timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 1,
    };
    let shared = Shared::new(&PEER, &config, &registry).expect("a fresh registry");
    Bench {
        calls: Calls::new(transport, Arc::new(shared), context),
        peer,
        registry,
    }
}

fn context(left: Duration) -> RequestContext {
    RequestContext::for_task("test", left, &Policy::inside(left))
}

fn request(path: &str) -> Request<Body> {
    Request::builder()
        .uri(path)
        .header("grpc-timeout", "99H")
        .body(Body::empty())
        .expect("a request")
}

fn charge() -> Request<Body> {
    request(PEER.calls[0].rpc)
}

impl Bench {
    fn metrics(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("it encodes");
        String::from_utf8(text).expect("it is text")
    }

    fn assert_counted(&self, line: &str) {
        assert!(
            self.metrics().contains(line),
            "no {line} in\n{}",
            self.metrics()
        );
    }

    /// Makes the call and answers it.
    fn answer(&mut self, response: Response<Body>) -> Result<Response<CallBody>, Status> {
        self.peer.allow(1);
        let mut call = task::spawn(self.calls.call(charge()));
        assert_pending!(call.poll());
        let (_, reply) =
            assert_ready!(task::spawn(self.peer.next_request()).poll()).expect("the call was sent");
        reply.send_response(response);
        assert_ready!(call.poll())
    }
}

fn refused(code: Code, message: &str) -> Response<Body> {
    Status::new(code, message).into_http()
}

fn body(frames: Vec<http_body::Frame<bytes::Bytes>>, stall: bool) -> Body {
    use tokio_test::stream_mock::StreamMockBuilder;
    let mut stream = StreamMockBuilder::new();
    for frame in frames {
        stream = stream.next(Ok::<_, Status>(frame));
    }
    if stall {
        stream = stream.wait(Duration::from_secs(3600));
    }
    let boxed: UnsyncBoxBody<_, Status> = StreamBody::new(stream.build()).boxed_unsync();
    Body::new(boxed)
}

fn trailers(code: &str, message: &str) -> http_body::Frame<bytes::Bytes> {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", code.parse().expect("a value"));
    map.insert("grpc-message", message.parse().expect("a value"));
    http_body::Frame::trailers(map)
}

#[tokio::test(start_paused = true)]
async fn the_peer_gets_a_deadline_shorter_than_the_callers() {
    for (left, sent) in [
        (5000, "3400000u"),
        (1000, "950000u"),
        (100, "80000u"),
        (70, "50000u"),
    ] {
        let mut bench = bench(context(Duration::from_millis(left)));
        bench.peer.allow(1);
        let mut call = task::spawn(bench.calls.call(charge()));
        assert_pending!(call.poll());
        let (request, _reply) =
            assert_ready!(task::spawn(bench.peer.next_request()).poll()).expect("sent");
        assert_eq!(
            request
                .headers()
                .get_all("grpc-timeout")
                .iter()
                .collect::<Vec<_>>(),
            [sent]
        );
        assert!(
            request.headers().contains_key("traceparent")
                && request.headers().contains_key("x-request-id")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_below_its_floor_is_never_sent() {
    for left in [0, 10, 69] {
        let mut bench = bench(context(Duration::from_millis(left)));
        bench.peer.allow(1);
        let status =
            assert_ready!(task::spawn(bench.calls.call(charge())).poll()).expect_err("too late");
        let error = Error::new("payments", "Charge", status);
        assert_eq!(
            (error.kind, error.code()),
            (Kind::NotStarted, Code::DeadlineExceeded)
        );
        assert_pending!(task::spawn(bench.peer.next_request()).poll());
        bench.assert_counted(
            r#"client_calls_not_started_total{peer="payments",reason="deadline"} 1"#,
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_call_is_refused() {
    let mut bench = bench(context(Duration::from_secs(5)));
    let call = bench
        .calls
        .call(request("/shop.payments.v1.PaymentsService/Steal"));
    let status = assert_ready!(task::spawn(call).poll()).expect_err("undeclared");
    assert!(
        status.message().contains("not among the declared calls"),
        "{status:?}"
    );
    assert_eq!(status.code(), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_deadline_exceeded_at_the_deadline() {
    let mut bench = bench(context(Duration::from_secs(1)));
    let started = tokio::time::Instant::now();
    bench.peer.allow(1);
    let status = bench
        .calls
        .call(charge())
        .await
        .expect_err("nobody answers");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let waited = started.elapsed();
    assert!((950..952).contains(&waited.as_millis()), "{waited:?}");
    bench.assert_counted(
        r#"client_requests_total{code="DEADLINE_EXCEEDED",method="Charge",peer="payments"} 1"#,
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_connection_counts_against_the_deadline() {
    let mut bench = bench(context(Duration::from_secs(1)));
    bench.peer.allow(0);
    let status = bench
        .calls
        .call(charge())
        .await
        .expect_err("never connected");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_deadline_exceeded() {
    let mut bench = bench(context(Duration::from_secs(1)));
    let frame = http_body::Frame::data(bytes::Bytes::from_static(b"x"));
    let response = bench
        .answer(Response::new(body(vec![frame], true)))
        .expect("headers came");
    let status = response
        .into_body()
        .collect()
        .await
        .expect_err("the rest never comes");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    bench.assert_counted(
        r#"client_requests_total{code="DEADLINE_EXCEEDED",method="Charge",peer="payments"} 1"#,
    );
}

#[tokio::test(start_paused = true)]
async fn envoys_timeout_goes_up_as_deadline_exceeded() {
    let mut bench = bench(context(Duration::from_secs(1)));
    let response = bench
        .answer(refused(Code::Unavailable, "upstream request timeout"))
        .expect("headers");
    assert_eq!(response.headers()["grpc-status"], "4");
    drop(response);
    let in_trailers = Response::new(body(
        vec![trailers("14", "upstream%20request%20timeout")],
        false,
    ));
    let collected = bench
        .answer(in_trailers)
        .expect("headers")
        .into_body()
        .collect()
        .await
        .expect("a whole body");
    assert_eq!(collected.trailers().expect("trailers")["grpc-status"], "4");
    bench.assert_counted(
        r#"client_requests_total{code="DEADLINE_EXCEEDED",method="Charge",peer="payments"} 2"#,
    );
}

#[tokio::test(start_paused = true)]
async fn other_codes_go_up_as_they_came() {
    let mut bench = bench(context(Duration::from_secs(1)));
    for (code, number) in [
        (Code::Unavailable, "14"),
        (Code::NotFound, "5"),
        (Code::Internal, "13"),
    ] {
        let response = bench.answer(refused(code, "draining")).expect("headers");
        assert_eq!(response.headers()["grpc-status"], number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_at_once_and_frees_itself() {
    let mut bench = bench(context(Duration::from_secs(5)));
    bench.peer.allow(2);
    let first = bench.calls.call(charge());
    let status = bench.calls.call(charge()).await.expect_err("full");
    let error = Error::new("payments", "Charge", status);
    assert_eq!(
        (error.kind, error.code()),
        (Kind::NotStarted, Code::ResourceExhausted)
    );
    bench.assert_counted(r#"client_calls_not_started_total{peer="payments",reason="bulkhead"} 1"#);
    drop(first);
    bench.assert_counted(
        r#"client_requests_total{code="CANCELLED",method="Charge",peer="payments"} 1"#,
    );
    assert_pending!(task::spawn(bench.calls.call(charge())).poll());
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_known_not_to_have_started() {
    let mut bench = bench(context(Duration::from_secs(5)));
    bench.peer.allow(2);
    for (error, kind) in [
        (
            Box::new(ConnectError("connection refused".into())) as BoxError,
            Kind::NotStarted,
        ),
        (
            Box::new(Status::unavailable("reset")) as BoxError,
            Kind::Unreachable,
        ),
    ] {
        let mut call = task::spawn(bench.calls.call(charge()));
        assert_pending!(call.poll());
        let (_, reply) =
            assert_ready!(task::spawn(bench.peer.next_request()).poll()).expect("sent");
        reply.send_error(error);
        let status = assert_ready!(call.poll()).expect_err("it failed");
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(Error::new("payments", "Charge", status).kind, kind);
    }
}

#[derive(Debug, Default)]
struct Spans(Mutex<Vec<Span>>);

impl SpanSink for Spans {
    fn submit(&self, span: Span) {
        self.0.lock().expect("no test panics with it").push(span);
    }
}

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The context of a request that has so long, and where its spans go, if it is sampled.
fn recorded(left: Duration, sampler: Sampler) -> (RequestContext, Arc<Spans>) {
    let spans = Arc::new(Spans::default());
    let sink: Arc<dyn SpanSink> = Arc::clone(&spans) as _;
    let policy = Policy {
        spans: Some(sink),
        sampler,
        ..Policy::inside(left)
    };
    let caller = CALLER.parse().expect("a value");
    let inbound = HeaderMap::from_iter([(HeaderName::from_static("traceparent"), caller)]);
    (mesh_context::accept(&inbound, &policy).context, spans)
}

impl Spans {
    fn taken(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.lock().expect("no test panics with it"))
    }

    /// What happened in the span that ended first, each with its reason.
    fn events(&self) -> Vec<(&'static str, Option<Value>)> {
        let span = self.taken().into_iter().next().expect("a span");
        let events = span.events.into_iter();
        events
            .map(|event| (event.name, event.attributes.into_iter().next()))
            .map(|(name, attribute)| (name, attribute.map(|(_, value)| value)))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sampled_call_leaves_a_client_span_that_the_headers_name() {
    let (context, spans) = recorded(Duration::from_secs(3), Sampler::PARENT_BASED_ON);
    let mut bench = bench(context.clone());
    bench.peer.allow(1);
    let mut call = task::spawn(bench.calls.call(charge()));
    assert_pending!(call.poll());
    let (request, reply) =
        assert_ready!(task::spawn(bench.peer.next_request()).poll()).expect("sent");
    tokio::time::advance(Duration::from_millis(700)).await;
    reply.send_response(refused(Code::FailedPrecondition, "voided"));
    drop(assert_ready!(call.poll()).expect("headers"));

    let spans = spans.taken();
    let [span] = &spans[..] else {
        panic!("one span, not {spans:?}")
    };
    assert_eq!(span.name, "shop.payments.v1.PaymentsService/Charge");
    assert_eq!(
        (span.parent, span.trace_id),
        (Some(context.span_id()), context.trace_id())
    );
    let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", span.span_id);
    assert_eq!(request.headers()["traceparent"], expected);
    for attribute in [
        ("rpc.system", Value::from("grpc")),
        (
            "rpc.service",
            Value::from("shop.payments.v1.PaymentsService"),
        ),
        ("rpc.method", Value::from("Charge")),
        ("rpc.grpc.status_code", Value::from(9)),
        ("mesh.deadline.cap_ms", Value::from(3400)),
        // What the peer is told, at the start: the caller's 3 s without the reserve.
        ("mesh.deadline.remaining_ms", Value::from(2850)),
    ] {
        assert!(
            span.attributes.contains(&attribute),
            "{attribute:?} in {:?}",
            span.attributes
        );
    }
    assert_eq!(request.headers()["grpc-timeout"], "2850000u");
    assert_eq!(span.error.as_deref(), Some("voided"));
    assert!(span.events.is_empty(), "{:?}", span.events);
}

/// Makes a call that ends badly, in one of the ways there are.
async fn ends_badly(how: &str, context: RequestContext) {
    let mut bench = bench(context);
    match how {
        "too late" | "no answer" => {
            bench.peer.allow(1);
            drop(bench.calls.call(charge()).await.expect_err(how));
        }
        "full" => {
            let _under_way = bench.calls.call(charge());
            drop(bench.calls.call(charge()).await.expect_err(how));
        }
        "no connection" => {
            let refused = ConnectError("connection refused".into());
            bench.peer.send_error(refused);
            drop(bench.calls.call(charge()).await.expect_err(how));
        }
        "half an answer" => {
            let frame = http_body::Frame::data(bytes::Bytes::from_static(b"x"));
            let response = bench.answer(Response::new(body(vec![frame], true)));
            let collected = response.expect("headers").into_body().collect().await;
            drop(collected.expect_err(how));
        }
        "the peer was out of time" => {
            let answer = refused(Code::DeadlineExceeded, "out of time");
            drop(bench.answer(answer).expect("headers"));
        }
        how => panic!("{how} is no way to end"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_says_that_its_call_was_cut_or_not_started() {
    let not_started = |reason| vec![("mesh.call.not_started", Some(Value::from(reason)))];
    let cut = || vec![("mesh.deadline.exceeded", None)];
    for (how, left, events) in [
        ("too late", 60, not_started("deadline")),
        ("full", 1000, not_started("bulkhead")),
        ("no connection", 1000, not_started("connection")),
        ("no answer", 1000, cut()),
        ("half an answer", 1000, cut()),
        ("the peer was out of time", 1000, vec![]),
    ] {
        let (context, spans) = recorded(Duration::from_millis(left), Sampler::PARENT_BASED_ON);
        ends_badly(how, context).await;
        assert_eq!(spans.events(), events, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_request_that_is_not_sampled_there_is_no_span() {
    for (how, left) in [
        ("too late", 60),
        ("full", 1000),
        ("no connection", 1000),
        ("no answer", 1000),
    ] {
        let (context, spans) = recorded(Duration::from_millis(left), Sampler::OFF);
        ends_badly(how, context).await;
        assert!(spans.taken().is_empty(), "{how}");
    }
}
