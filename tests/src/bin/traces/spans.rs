//! Traces as a mesh would make them, sent as its processes would send them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_load::{Failure, Outcome, Target};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use tonic::transport::{Channel, Endpoint};

/// Traces in one request: exporters send what has come together.
pub(crate) const BATCH: u32 = 10;
/// An order's way through the mesh: who, below which of those before, what, since its caller's start.
const WAY: [(&str, Option<usize>, SpanKind, &str, u64); 10] = [
    ("gateway", None, SpanKind::Server, "POST /v1/orders", 0),
    (
        "gateway",
        Some(0),
        SpanKind::Client,
        "shop.orders.v1.OrdersService/PlaceOrder",
        200,
    ),
    (
        "orders",
        Some(1),
        SpanKind::Server,
        "shop.orders.v1.OrdersService/PlaceOrder",
        300,
    ),
    (
        "orders",
        Some(2),
        SpanKind::Client,
        "shop.inventory.v1.InventoryService/Reserve",
        500,
    ),
    (
        "inventory",
        Some(3),
        SpanKind::Server,
        "shop.inventory.v1.InventoryService/Reserve",
        200,
    ),
    (
        "orders",
        Some(2),
        SpanKind::Client,
        "shop.payments.v1.PaymentsService/Charge",
        3_000,
    ),
    (
        "payments",
        Some(5),
        SpanKind::Server,
        "shop.payments.v1.PaymentsService/Charge",
        200,
    ),
    (
        "fulfillment",
        Some(2),
        SpanKind::Consumer,
        "order.confirmed process",
        9_000,
    ),
    (
        "fulfillment",
        Some(7),
        SpanKind::Client,
        "shop.inventory.v1.InventoryService/Commit",
        400,
    ),
    (
        "inventory",
        Some(8),
        SpanKind::Server,
        "shop.inventory.v1.InventoryService/Commit",
        200,
    ),
];
/// Of each trace.
pub(crate) const SPANS: u64 = WAY.len() as u64;
const PROCESSES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "fulfillment"];

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Exporter {
    client: TraceServiceClient<Channel>,
    traces: AtomicU64,
}

impl Exporter {
    pub(crate) fn new(endpoint: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::try_from(endpoint.to_owned())?.connect_lazy();
        Ok(Self {
            client: TraceServiceClient::new(channel),
            traces: AtomicU64::new(0),
        })
    }
}

/// One request: a batch of traces.
impl Target for Exporter {
    async fn send(&self, _kind: usize) -> Outcome {
        let first = self.traces.fetch_add(u64::from(BATCH), Ordering::Relaxed);
        let request = ExportTraceServiceRequest {
            resource_spans: batch(first),
        };
        match self.client.clone().export(request).await {
            Ok(_) => Outcome::Status(200),
            Err(_) => Outcome::Failed(Failure::Broken),
        }
    }
}

/// The spans of the traces from that number on, by who made them.
fn batch(first: u64) -> Vec<ResourceSpans> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let of = |process: &str| {
        let traces = first..first + u64::from(BATCH);
        let spans = traces.flat_map(|trace| {
            let own = WAY.iter().enumerate().filter(|(_, step)| step.0 == process);
            own.map(move |(number, _)| span(trace, number, now))
        });
        ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", process),
                    text("service.instance.id", process),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    };
    PROCESSES.into_iter().map(of).collect()
}

fn span(trace: u64, number: usize, now: Duration) -> Span {
    let (process, parent, kind, name, _) = WAY[number];
    let start = now + since_root(number);
    // Callers end after those they call.
    let length = Duration::from_micros(20_000 / (number as u64 + 1));
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Span {
        // None is zero.
        trace_id: (u128::from(trace) + (1 << 100)).to_be_bytes().to_vec(),
        span_id: span_id(trace, number),
        parent_span_id: parent.map_or_else(Vec::new, |parent| span_id(trace, parent)),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(start + length),
        attributes: vec![
            text("rpc.system", "grpc"),
            text("rpc.method", name),
            text("server.address", process),
            text("network.peer.address", "127.0.0.1"),
            text(
                "x-request-id",
                &format!("00000000-0000-4000-8000-{trace:012}"),
            ),
            number_of("http.response.status_code", 201),
            number_of("rpc.grpc.status_code", 0),
            number_of("mesh.deadline.remaining_ms", 5_000 - 400 * number as i64),
        ],
        ..Span::default()
    }
}

fn since_root(number: usize) -> Duration {
    let (_, parent, _, _, after) = WAY[number];
    Duration::from_micros(after) + parent.map_or(Duration::ZERO, since_root)
}

fn span_id(trace: u64, number: usize) -> Vec<u8> {
    (trace * SPANS + number as u64 + 1).to_be_bytes().to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number_of(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_batch_is_so_many_whole_traces() {
        let spans: Vec<Span> = batch(7)
            .into_iter()
            .flat_map(|process| process.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect();
        assert_eq!(spans.len() as u64, u64::from(BATCH) * SPANS);
        let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
        assert_eq!(traces.len() as u32, BATCH);
        let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert_eq!(ids.len(), spans.len());
        let roots = spans.iter().filter(|span| span.parent_span_id.is_empty());
        assert_eq!(roots.count() as u32, BATCH);
        for span in &spans {
            let parent = &span.parent_span_id;
            assert!(parent.is_empty() || ids.contains(parent));
        }
    }
}
