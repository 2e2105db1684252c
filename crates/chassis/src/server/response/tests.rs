use ::http::{HeaderMap, HeaderValue, Request, Response};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::service::Service as _;
use std::convert::Infallible;
use tokio_test::{assert_pending, task};
use tower::service_fn;

use super::{
    super::{
        fixtures::{Fixture, request},
        upload::Upload,
    },
    *,
};

type Parts = Vec<Result<Frame<Bytes>, BoxError>>;
type Boxed = UnsyncBoxBody<Bytes, BoxError>;

fn data() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(b"data")))
}

fn trailers(status: &'static str) -> Result<Frame<Bytes>, BoxError> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Ok(Frame::trailers(trailers))
}

/// These frames, and then nothing more for ever.
fn stalling(frames: Parts) -> Boxed {
    let frames = stream::iter(frames).chain(stream::pending());
    UnsyncBoxBody::new(StreamBody::new(frames))
}

fn whole(frames: Parts) -> Boxed {
    UnsyncBoxBody::new(StreamBody::new(stream::iter(frames)))
}

/// The body of an answer that the stack has taken on.
async fn sent(fixture: &Fixture, body: Boxed) -> ResponseBody<Boxed> {
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let handler = service_fn(move |_: Request<Upload<Empty<Bytes>>>| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let response = fixture.stack(handler).call(request(fixture.protocol));
    response.await.unwrap().into_body()
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_answers_last_frame() {
    let fixture = Fixture::new(Protocol::Grpc);
    let mut body = Box::pin(sent(&fixture, whole(vec![data(), trailers("0")])).await);
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "data"
    );
    assert_eq!(fixture.metric("http_requests_in_flight"), 1.0);
    assert!(fixture.lines().is_empty());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(fixture.metric("http_requests_in_flight"), 0.0);
    assert!(fixture.lines()[0].contains("200 OK"));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_status_in_the_trailers_is_the_one_recorded() {
    let fixture = Fixture::new(Protocol::Grpc);
    let body = sent(&fixture, whole(vec![data(), trailers("5")])).await;
    body.collect().await.unwrap();
    assert!(fixture.lines()[0].contains("200 NOT_FOUND"));
}

#[tokio::test]
async fn an_answer_dropped_half_way_is_recorded_as_not_received() {
    let fixture = Fixture::new(Protocol::Grpc);
    let mut body = Box::pin(sent(&fixture, stalling(vec![data()])).await);
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert!(fixture.lines()[0].contains("200 CANCELLED"));
    assert_eq!(fixture.metric("http_requests_in_flight"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_stream_with_a_status() {
    let fixture = Fixture::new(Protocol::Grpc);
    let body = sent(&fixture, stalling(vec![data()])).await;
    let body = body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
    assert_eq!(
        fixture.lines(),
        ["POST /shop.a.v1.A/Do 200 DEADLINE_EXCEEDED 5000ms"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_breaks_an_http_answer_off() {
    let fixture = Fixture::new(Protocol::Http);
    let body = sent(&fixture, stalling(vec![data()])).await;
    assert!(body.collect().await.is_err());
    assert_eq!(fixture.lines(), ["GET /orders/{id} 200  5000ms"]);
}

#[tokio::test]
async fn a_panic_in_a_body_ends_it_with_a_status() {
    let fixture = Fixture::new(Protocol::Grpc);
    let frames = stream::iter([1, 0]).map(|n| {
        assert!(n > 0, "half way");
        data()
    });
    let body = sent(&fixture, UnsyncBoxBody::new(StreamBody::new(frames))).await;
    let body = body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "13");
    assert!(fixture.lines()[0].contains("200 INTERNAL"));
}

#[tokio::test]
async fn a_frame_that_is_not_there_yet_is_waited_for() {
    let fixture = Fixture::new(Protocol::Http);
    let mut body = Box::pin(sent(&fixture, stalling(Vec::new())).await);
    assert!(!body.is_end_stream());
    assert_pending!(task::spawn(body.frame()).poll());
}
