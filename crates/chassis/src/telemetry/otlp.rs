//! OTLP over gRPC: our spans in OpenTelemetry's form, and the client that sends them.

use std::time::Duration;

use http::{Uri, uri::Scheme};
use mesh_context::{Event, Span, SpanId, SpanKind, TraceId, Value};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{self, SpanContext, Status, TraceFlags, TraceState},
};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};

use crate::BoxError;

/// How long the collector may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The client for `endpoint`. Connects when there is something to send; call it inside the runtime it is used in.
pub(crate) fn exporter(endpoint: &str, resource: &Resource) -> Result<SpanExporter, BoxError> {
    let builder = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT);
    let mut exporter = builder.with_retry_policy(RetryPolicy::disabled()).build()?;
    exporter.set_resource(resource);
    Ok(exporter)
}

/// Encryption is the sidecar's, so `https` is refused and not silently sent in the clear.
pub(super) fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    let uri = endpoint.parse::<Uri>().ok();
    match uri.filter(|uri| uri.scheme() == Some(&Scheme::HTTP) && uri.authority().is_some()) {
        Some(_) => Ok(()),
        None => Err(
            "must be http://host:port of a collector's OTLP/gRPC port, such as http://localhost:4317",
        ),
    }
}

pub(super) fn span_data(span: Span) -> SpanData {
    let Span {
        trace_id,
        span_id,
        parent,
        remote_parent,
        kind,
        name,
        start,
        end,
        attributes,
        events,
        links,
        error,
    } = span;
    let mut data_events = SpanEvents::default();
    data_events.events = events.into_iter().map(event).collect();
    let mut data_links = SpanLinks::default();
    data_links.links = links.into_iter().map(link).collect();
    SpanData {
        span_context: span_context(trace_id, span_id, false),
        parent_span_id: parent.map_or(trace::SpanId::INVALID, |parent| parent.as_u64().into()),
        parent_span_is_remote: remote_parent,
        span_kind: span_kind(kind),
        name,
        start_time: start,
        end_time: end,
        attributes: key_values(attributes),
        dropped_attributes_count: 0,
        events: data_events,
        links: data_links,
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("mesh").build(),
    }
}

fn span_context(trace_id: TraceId, span_id: SpanId, remote: bool) -> SpanContext {
    SpanContext::new(
        trace_id.as_u128().into(),
        span_id.as_u64().into(),
        TraceFlags::SAMPLED,
        remote,
        TraceState::NONE,
    )
}

/// To a span of another process.
fn link((trace_id, span_id): (TraceId, SpanId)) -> trace::Link {
    trace::Link::new(span_context(trace_id, span_id, true), Vec::new(), 0)
}

fn event(event: Event) -> trace::Event {
    trace::Event::new(event.name, event.time, key_values(event.attributes), 0)
}

fn key_values(attributes: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
    attributes
        .into_iter()
        .map(|(key, value)| match value {
            Value::Text(text) => KeyValue::new(key, text),
            Value::Int(number) => KeyValue::new(key, number),
            Value::Bool(flag) => KeyValue::new(key, flag),
        })
        .collect()
}

fn span_kind(kind: SpanKind) -> trace::SpanKind {
    match kind {
        SpanKind::Server => trace::SpanKind::Server,
        SpanKind::Client => trace::SpanKind::Client,
        SpanKind::Producer => trace::SpanKind::Producer,
        SpanKind::Consumer => trace::SpanKind::Consumer,
        SpanKind::Internal => trace::SpanKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_span_keeps_all_it_has() {
        let span = Span {
            trace_id: TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
            span_id: SpanId::parse("00f067aa0ba902b7").unwrap(),
            parent: SpanId::parse("b7ad6b7169203331"),
            remote_parent: true,
            kind: SpanKind::Client,
            name: "shop.payments.v1.PaymentsService/Charge".into(),
            start: SystemTime::UNIX_EPOCH,
            end: SystemTime::UNIX_EPOCH + Duration::from_millis(5),
            attributes: vec![
                ("rpc.system", "grpc".into()),
                ("rpc.grpc.status_code", 4.into()),
                ("cut", true.into()),
            ],
            events: vec![Event {
                name: "sent",
                time: SystemTime::UNIX_EPOCH,
                attributes: vec![("bytes", 7.into())],
            }],
            links: vec![(
                TraceId::random(),
                SpanId::parse("00f067aa0ba902b7").unwrap(),
            )],
            error: Some("DEADLINE_EXCEEDED".into()),
        };
        let data = span_data(span);
        assert_eq!(
            data.span_context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(data.span_context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(data.span_context.is_sampled());
        assert_eq!(data.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(data.parent_span_is_remote);
        assert_eq!(data.span_kind, trace::SpanKind::Client);
        assert_eq!(data.end_time, data.start_time + Duration::from_millis(5));
        assert_eq!(
            data.attributes,
            [
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.grpc.status_code", 4),
                KeyValue::new("cut", true),
            ]
        );
        assert_eq!(data.events.events[0].name, "sent");
        let linked = &data.links.links[0].span_context;
        assert_eq!(linked.span_id().to_string(), "00f067aa0ba902b7");
        assert!(linked.is_remote());
        assert_eq!(data.status, Status::error("DEADLINE_EXCEEDED"));
    }

    #[test]
    fn an_endpoint_is_a_plain_url() {
        for good in [
            "http://localhost:4317",
            "http://jaeger-collector.istio-system.svc.cluster.local:4317/",
        ] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "localhost:4317",
            "https://collector:4317",
            "http://",
            "collector",
            "grpc://collector:4317",
        ] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
    }
}
