//! One trace from the publisher to the worker, on both back ends.

use std::time::Duration;

use http::HeaderMap;
use mesh_context::{Policy, RequestContext, SpanKind, Value, accept};
use mesh_messaging::{
    Headers, Queue,
    testing::{Place, message, within},
};

use crate::next;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const REQUEST: &str = "01234567-89ab-9def-8123-456789abcdef";

mesh_messaging::on_each_queue!(
    the_first_delivery_is_a_child_of_the_publication_and_a_later_one_is_linked,
    without_export_the_headers_arrive_as_they_were,
);

/// As they stand in an outbox.
fn headers() -> Headers {
    Headers::from_json(&format!(
        r#"{{"traceparent":"00-{TRACE}-{CALLER}-01","x-request-id":"{REQUEST}","baggage":"a=1","tracestate":"v=2"}}"#
    ))
}

/// What a downstream call would carry.
fn outbound(context: &RequestContext) -> HeaderMap {
    let mut headers = HeaderMap::new();
    context.write_headers(&mut headers, context.child_span());
    headers
}

async fn the_first_delivery_is_a_child_of_the_publication_and_a_later_one_is_linked(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    within(process.queue.publish(&message("m-1"), &headers()))
        .await
        .unwrap();
    let mut first = next(&mut consumer).await;
    let context = first.context(Duration::from_secs(5));
    assert_eq!(context.trace_id().to_string(), TRACE);
    assert_eq!(context.request_id().to_string(), REQUEST);
    assert!(context.deadline().remaining() <= Duration::from_secs(5));
    let again = first.context(Duration::from_secs(60));
    assert_eq!(again.span_id(), context.span_id());
    assert!(again.deadline().remaining() > Duration::from_secs(50));
    let sent = outbound(&context);
    assert_eq!(sent["baggage"], "a=1");
    assert_eq!(sent["tracestate"], "v=2");
    drop(first);

    let mut second = next(&mut consumer).await;
    let redelivered = second.context(Duration::from_secs(5));
    assert_eq!(redelivered.trace_id().to_string(), TRACE);
    within(second.ack()).await.unwrap();

    let spans = process.spans.ended();
    let [publication, lost, acked] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(publication.kind, SpanKind::Producer);
    assert_eq!(publication.name, "publish shop");
    assert_eq!(publication.parent.unwrap().to_string(), CALLER);
    assert_eq!(publication.error, None);
    let link = (publication.trace_id, publication.span_id);

    assert_eq!(lost.kind, SpanKind::Consumer);
    assert_eq!(lost.name, "process fulfillment");
    assert_eq!(lost.span_id, context.span_id());
    assert_eq!(lost.parent, Some(publication.span_id));
    assert_eq!(lost.links, [link]);
    assert_eq!(lost.error.as_deref(), Some("not settled"));

    assert_eq!(acked.span_id, redelivered.span_id());
    assert_eq!(acked.parent, None);
    assert_eq!(acked.links, [link]);
    assert_eq!(acked.error, None);
    assert!(spans.iter().all(|span| span.trace_id.to_string() == TRACE));
    let attempt = ("mesh.message.attempt", Value::from(2));
    assert!(acked.attributes.contains(&attempt), "{acked:?}");
    for work in [lost, acked] {
        let remaining = |(name, value): &(&str, Value)| match (*name, value) {
            ("mesh.deadline.remaining_ms", Value::Int(millis)) => Some(*millis),
            _ => None,
        };
        let remaining = work.attributes.iter().find_map(remaining);
        // That of the first try, of which a moment may have passed.
        assert!(matches!(remaining, Some(4000..=5000)), "{work:?}");
    }
}

async fn without_export_the_headers_arrive_as_they_were(place: Place) {
    let policy = Policy::inside(Duration::from_secs(5));
    let registry = prometheus::Registry::new();
    let (queue, driver) = Queue::open(&place.config(), &policy, &registry).unwrap();
    let work = async {
        let mut connected = queue.connected();
        connected.wait_for(|connected| *connected).await.unwrap();
        let context = accept(&HeaderMap::new(), &policy).context;
        let headers = [Headers::of(&context), headers()];
        let mut received = Vec::new();
        let config = mesh_messaging::ConsumerConfig { prefetch: 1 };
        let mut consumer = queue.consumer(config, std::future::pending());
        for headers in &headers {
            queue.publish(&message("m-1"), headers).await.unwrap();
            let mut delivery = next(&mut consumer).await;
            let context = delivery.context(Duration::from_secs(5));
            received.push(Headers::from(outbound(&context)));
            delivery.ack().await.unwrap();
        }
        assert_eq!(received, headers);
    };
    tokio::select! {
        () = within(work) => {}
        () = driver.run() => panic!("the driver never ends"),
    }
}
