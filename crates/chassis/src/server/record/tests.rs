use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::service::Service as _;
use mesh_context::Sampler;
use tower::{Service, service_fn};

use super::{
    super::{
        fixtures::{Fixture, request},
        upload::Upload,
    },
    *,
};

/// The span of a request answered like this.
async fn span(fixture: &Fixture, request: Request<Empty<Bytes>>, status: u16, code: &str) -> Span {
    let (code, grpc) = (code.to_owned(), fixture.protocol == Protocol::Grpc);
    let handler = service_fn(move |_: Request<Upload<Empty<Bytes>>>| {
        let mut response = Response::builder().status(status);
        if grpc {
            response = response.header("grpc-status", code.as_str());
        }
        let response = response.body(Full::new(Bytes::new())).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let response = fixture.stack(handler).call(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    fixture.kept.spans.lock().unwrap().pop().unwrap()
}

fn attributes(span: &Span) -> BTreeMap<&'static str, String> {
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
    };
    let attributes = span.attributes.iter();
    attributes
        .map(|(name, value)| (*name, text(value)))
        .collect()
}

#[tokio::test]
async fn an_http_span_carries_the_stable_attributes_and_its_callers_span() {
    let fixture = Fixture::new(Protocol::Http).sampled();
    let mut request = request(Protocol::Http);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request
        .headers_mut()
        .insert("traceparent", parent.parse().unwrap());
    let span = span(&fixture, request, 200, "").await;
    assert_eq!(span.name, "GET /orders/{id}");
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(span.trace_id.to_string(), parent[3..35]);
    assert_eq!(span.parent.unwrap().to_string(), parent[36..52]);
    assert_eq!(span.error, None);
    let attributes = attributes(&span);
    for (name, value) in [
        (names::HTTP_REQUEST_METHOD, "GET"),
        (names::HTTP_ROUTE, "/orders/{id}"),
        (names::HTTP_RESPONSE_STATUS_CODE, "200"),
        (names::URL_PATH, "/orders/7"),
        (names::URL_SCHEME, "http"),
        (names::NETWORK_PROTOCOL_VERSION, "1.1"),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert!(span.events.is_empty(), "{:?}", span.events);
}

#[tokio::test(start_paused = true)]
async fn a_span_says_how_much_time_its_work_had_when_it_began() {
    for (sent, remaining) in [
        (None, "5000"),
        (Some("3400m"), "3400"),
        (Some("9S"), "5000"),
    ] {
        let fixture = Fixture::new(Protocol::Grpc).sampled();
        let mut request = request(Protocol::Grpc);
        if let Some(sent) = sent {
            let timeout = HeaderValue::from_static(sent);
            request.headers_mut().insert("grpc-timeout", timeout);
        }
        let span = span(&fixture, request, 200, "0").await;
        assert_eq!(attributes(&span)["mesh.deadline.remaining_ms"], remaining);
    }
}

/// A handler whose answer begins, if it is to, and does not end.
fn endless(
    begins: bool,
) -> impl Service<Request<Upload<Empty<Bytes>>>, Response = Response<Endless>, Error = Infallible> + Clone
{
    service_fn(move |_: Request<Upload<Empty<Bytes>>>| async move {
        if !begins {
            std::future::pending::<()>().await;
        }
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        Ok::<_, Infallible>(Response::new(Endless::new(body)))
    })
}

type Endless = UnsyncBoxBody<Bytes, Infallible>;

#[tokio::test(start_paused = true)]
async fn a_span_says_that_its_request_was_cut() {
    for (protocol, timeout, begins) in [
        (Protocol::Http, None, false),
        (Protocol::Grpc, Some("200m"), false),
        (Protocol::Grpc, Some("0m"), false),
        (Protocol::Grpc, None, true),
        (Protocol::Http, None, true),
    ] {
        let told = format!("{protocol:?} {timeout:?} {begins}");
        let fixture = Fixture::new(protocol).sampled();
        let mut request = request(protocol);
        if let Some(timeout) = timeout {
            let timeout = HeaderValue::from_static(timeout);
            request.headers_mut().insert("grpc-timeout", timeout);
        }
        let response = fixture.stack(endless(begins)).call(request).await.unwrap();
        // The end of the body may be an error: that of HTTP is.
        let _ = response.into_body().collect().await;
        let span = fixture.kept.spans.lock().unwrap().pop().unwrap();
        let events: Vec<_> = span.events.iter().map(|event| event.name).collect();
        assert_eq!(events, ["mesh.deadline.exceeded"], "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_found_no_room_was_not_cut() {
    let mut fixture = Fixture::new(Protocol::Grpc).sampled();
    fixture.concurrency = 1;
    let stack = fixture.stack(endless(false));
    let _holds = stack.call(request(Protocol::Grpc));
    stack.call(request(Protocol::Grpc)).await.unwrap();
    let span = fixture.kept.spans.lock().unwrap().pop().unwrap();
    assert_eq!(attributes(&span)[names::RPC_GRPC_STATUS_CODE], "8");
    assert!(span.events.is_empty(), "{:?}", span.events);
}

#[tokio::test]
async fn a_grpc_span_carries_the_rpc_attributes() {
    let fixture = Fixture::new(Protocol::Grpc).sampled();
    let span = span(&fixture, request(Protocol::Grpc), 200, "5").await;
    assert_eq!(span.name, "shop.a.v1.A/Do");
    let attributes = attributes(&span);
    for (name, value) in [
        (names::RPC_SYSTEM, "grpc"),
        (names::RPC_SERVICE, "shop.a.v1.A"),
        (names::RPC_METHOD, "Do"),
        (names::RPC_GRPC_STATUS_CODE, "5"),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert_eq!(span.error, None, "not found is the caller's affair");
}

#[tokio::test]
async fn only_the_servers_fault_makes_a_span_an_error() {
    for (status, code, error) in [
        (200, "13", Some("INTERNAL")),
        (200, "4", Some("DEADLINE_EXCEEDED")),
        (200, "8", None),
        (200, "0", None),
    ] {
        let fixture = Fixture::new(Protocol::Grpc).sampled();
        let span = span(&fixture, request(Protocol::Grpc), status, code).await;
        assert_eq!(span.error.as_deref(), error, "{code}");
    }
    for (status, error) in [(404, None), (503, Some("503"))] {
        let fixture = Fixture::new(Protocol::Http).sampled();
        let span = span(&fixture, request(Protocol::Http), status, "").await;
        assert_eq!(span.error.as_deref(), error, "{status}");
        let kind = attributes(&span).get(names::ERROR_TYPE).cloned();
        assert_eq!(kind.as_deref(), error);
    }
}

#[tokio::test]
async fn an_unsampled_request_leaves_a_line_but_no_span() {
    let off = |mut fixture: Fixture| {
        fixture.policy.sampler = Sampler::OFF;
        fixture
    };
    for fixture in [
        Fixture::new(Protocol::Http),
        off(Fixture::new(Protocol::Http).sampled()),
    ] {
        let stack = fixture.stack(endless(false));
        let (record, _) = stack.open(&request(Protocol::Http));
        assert!(record.span.is_none(), "nothing is built for a span");
        drop(record);
        assert_eq!(fixture.lines().len(), 1);
        assert!(fixture.kept.spans.lock().unwrap().is_empty());
    }
}
