use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::http::{HeaderMap, StatusCode, request::Builder};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::service::Service as _;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::service_fn;
use tower_test::mock;

use super::{
    super::fixtures::{Fixture, LIMIT, request},
    *,
};

type Inner = Request<Upload<Empty<Bytes>>>;
type Answer = Response<Full<Bytes>>;

fn answer(text: &'static str) -> Answer {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

fn http(request: Builder) -> Request<Empty<Bytes>> {
    request.header("host", "shop").body(Empty::new()).unwrap()
}

async fn json(response: Response<ResponseBody<Full<Bytes>>>) -> serde_json::Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A handler that never answers, and whether it still tries.
fn endless() -> (
    impl Service<Inner, Response = Answer, Error = Infallible, Future: Send> + Clone,
    Arc<AtomicBool>,
) {
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Arc::clone(&dropped);
    let handler = service_fn(move |_request: Inner| {
        let guard = Dropped(Arc::clone(&guard));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    (handler, dropped)
}

#[tokio::test(start_paused = true)]
async fn the_handler_gets_the_context_and_the_answer_its_ids() {
    let fixture = Fixture::new(Protocol::Http);
    let (mock, mut handle) = mock::pair::<Inner, Answer>();
    let inner = mock.map_err(|error| -> Infallible { panic!("{error}") });
    let mut answered = task::spawn(fixture.stack(inner).call(http(Request::get("/orders/7"))));
    assert_pending!(answered.poll());

    let (request, respond) = handle.next_request().await.unwrap();
    let context = request
        .extensions()
        .get::<RequestContext>()
        .unwrap()
        .clone();
    assert_eq!(context.deadline().remaining(), LIMIT);
    respond.send_response(answer("ok"));

    let response = assert_ready!(answered.poll()).unwrap();
    assert_eq!(
        response.headers()["x-request-id"],
        context.request_id().as_str()
    );
    assert_eq!(
        response.headers()["x-trace-id"],
        context.trace_id().to_string()
    );
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "ok");
    assert_eq!(fixture.lines(), ["GET /orders/{id} 200  0ms"]);
    assert_eq!(fixture.metric("http_requests_total"), 1.0);
    assert_eq!(fixture.metric("http_requests_in_flight"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn out_of_time_the_handler_is_dropped_and_the_answer_is_504() {
    let fixture = Fixture::new(Protocol::Http);
    let (handler, dropped) = endless();
    let response = fixture
        .stack(handler)
        .call(request(Protocol::Http))
        .await
        .unwrap();
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let trace_id = response.headers()["x-trace-id"].clone();
    assert_eq!(json(response).await["trace_id"], trace_id.to_str().unwrap());
    assert_eq!(fixture.lines(), ["GET /orders/{id} 504  5000ms"]);
}

#[tokio::test(start_paused = true)]
async fn out_of_time_grpc_says_deadline_exceeded_without_a_body() {
    let fixture = Fixture::new(Protocol::Grpc);
    let (handler, dropped) = endless();
    let mut request = request(Protocol::Grpc);
    let timeout = HeaderValue::from_static("200m");
    request.headers_mut().insert("grpc-timeout", timeout);
    let response = fixture.stack(handler).call(request).await.unwrap();
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(response.body().is_end_stream());
    assert_eq!(
        fixture.lines(),
        ["POST /shop.a.v1.A/Do 200 DEADLINE_EXCEEDED 200ms"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_time_never_reaches_the_handler() {
    let fixture = Fixture::new(Protocol::Grpc);
    let handler = service_fn(|_request: Inner| async {
        panic!("called");
        #[expect(unreachable_code, reason = "gives the block its type")]
        Ok::<_, Infallible>(answer(""))
    });
    let mut request = request(Protocol::Grpc);
    request
        .headers_mut()
        .insert("grpc-timeout", HeaderValue::from_static("0m"));
    let response = fixture.stack(handler).call(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn a_full_process_sheds_after_a_short_wait() {
    for (protocol, status) in [(Protocol::Http, 503), (Protocol::Grpc, 200)] {
        let mut fixture = Fixture::new(protocol);
        fixture.concurrency = 1;
        let (handler, _) = endless();
        let stack = fixture.stack(handler);
        let mut holds = task::spawn(stack.call(request(protocol)));
        assert_pending!(holds.poll());
        assert_eq!(fixture.metric("http_requests_in_flight"), 1.0);

        let started = Instant::now();
        let response = stack.call(request(protocol)).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(100));
        assert_eq!(response.status(), status);
        match protocol {
            Protocol::Http => assert_eq!(response.headers()["retry-after"], "1"),
            Protocol::Grpc => assert_eq!(response.headers()["grpc-status"], "8"),
        }
        assert_eq!(fixture.metric("http_requests_shed_total"), 1.0);
        assert_eq!(fixture.metric("http_requests_total"), 1.0);
        drop(holds);
        assert_eq!(fixture.metric("http_requests_in_flight"), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_gets_its_turn_and_what_is_left_of_its_time() {
    let mut fixture = Fixture::new(Protocol::Http);
    fixture.concurrency = 1;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = service_fn(move |_request: Inner| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            sleep(if first {
                Duration::from_millis(60)
            } else {
                2 * LIMIT
            })
            .await;
            Ok::<_, Infallible>(answer("ok"))
        }
    });
    let stack = fixture.stack(handler);
    let started = Instant::now();
    let (first, second) = tokio::join!(
        async {
            let response = stack.call(request(Protocol::Http)).await.unwrap();
            response.into_body().collect().await.unwrap()
        },
        async { stack.call(request(Protocol::Http)).await.unwrap() }
    );
    assert_eq!(first.to_bytes(), "ok");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(second.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(started.elapsed(), LIMIT);
}

#[tokio::test]
async fn a_panic_is_an_answer_like_any_other() {
    let calls: fn(Inner) -> std::future::Ready<Result<Answer, Infallible>> = |_| panic!("at once");
    let response = Fixture::new(Protocol::Http)
        .stack(service_fn(calls))
        .call(request(Protocol::Http));
    assert_eq!(
        response.await.unwrap().status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );

    let fixture = Fixture::new(Protocol::Grpc);
    let later = service_fn(|_request: Inner| async {
        tokio::task::yield_now().await;
        if true {
            panic!("later");
        }
        Ok::<_, Infallible>(answer(""))
    });
    let response = fixture
        .stack(later)
        .call(request(Protocol::Grpc))
        .await
        .unwrap();
    assert_eq!(response.headers()["grpc-status"], "13");
    assert!(fixture.lines()[0].starts_with("POST /shop.a.v1.A/Do 200 INTERNAL"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_takes_the_handler_with_it_and_is_recorded() {
    for (protocol, line) in [
        (Protocol::Http, "GET /orders/{id} 499  70ms"),
        (Protocol::Grpc, "POST /shop.a.v1.A/Do 499 CANCELLED 70ms"),
    ] {
        let fixture = Fixture::new(protocol);
        let (handler, dropped) = endless();
        let mut answered = task::spawn(fixture.stack(handler).call(request(protocol)));
        assert_pending!(answered.poll());
        advance(Duration::from_millis(70)).await;
        drop(answered);
        assert!(dropped.load(Ordering::Relaxed));
        assert_eq!(fixture.lines(), [line]);
        assert_eq!(fixture.metric("http_requests_in_flight"), 0.0);
    }
}

#[tokio::test]
async fn a_request_for_no_host_or_two_is_400_with_its_ids() {
    let fixture = Fixture::new(Protocol::Http);
    let stack = fixture.stack(service_fn(|_: Inner| async {
        Ok::<_, Infallible>(answer(""))
    }));
    let none = Request::get("/orders/7").body(Empty::new()).unwrap();
    let two = http(Request::get("/orders/7").header("host", "other"));
    for request in [none, two] {
        let response = stack.call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(json(response).await["status"], 400);
    }
    assert_eq!(fixture.metric("http_requests_total"), 2.0);
}

#[tokio::test]
async fn the_routers_empty_404_becomes_a_problem_and_head_has_no_body() {
    let fixture = Fixture::new(Protocol::Http);
    let stack = fixture.stack(service_fn(|_: Inner| async {
        let empty = Response::builder()
            .status(404)
            .body(Full::new(Bytes::new()));
        Ok::<_, Infallible>(empty.unwrap())
    }));
    let response = stack.call(http(Request::get("/nowhere"))).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(json(response).await["title"], "Not Found");
    let head = stack.call(http(Request::head("/nowhere"))).await.unwrap();
    assert!(head.body().is_end_stream());
    assert!(fixture.lines()[0].starts_with("GET unmatched 404"));
}

#[tokio::test(start_paused = true)]
async fn a_health_watch_has_neither_limit_nor_room_to_wait_for() {
    let mut fixture = Fixture::new(Protocol::Grpc);
    fixture.concurrency = 1;
    let (handler, _) = endless();
    let stack = fixture.stack(handler);
    let mut work = task::spawn(stack.call(request(Protocol::Grpc)));
    assert_pending!(work.poll());
    let health = Request::post("/grpc.health.v1.Health/Watch");
    let mut watch = task::spawn(stack.call(health.body(Empty::new()).unwrap()));
    assert_pending!(watch.poll());
    advance(100 * LIMIT).await;
    assert_pending!(watch.poll());
    assert_eq!(fixture.metric("http_requests_in_flight"), 1.0);
}

#[tokio::test]
async fn malformed_deadlines_and_disagreeing_traces_are_counted() {
    let fixture = Fixture::new(Protocol::Grpc);
    let stack = fixture.stack(service_fn(|_: Inner| async {
        Ok::<_, Infallible>(answer(""))
    }));
    let mut request = request(Protocol::Grpc);
    let headers: &mut HeaderMap = request.headers_mut();
    headers.insert("grpc-timeout", HeaderValue::from_static("soon"));
    let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", HeaderValue::from_static(w3c));
    let b3 = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
    headers.insert("b3", HeaderValue::from_static(b3));
    let response = stack.call(request).await.unwrap();
    assert_eq!(response.headers()["x-trace-id"], w3c[3..35]);
    assert_eq!(fixture.metric("deadline_header_malformed_total"), 1.0);
    assert_eq!(fixture.metric("trace_context_conflict_total"), 1.0);
}
