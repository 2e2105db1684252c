//! An OTLP receiver: keeps every span it is sent.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{ResourceSpans, Span},
};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A receiver on a port of its own; dropping it closes it.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    _server: JoinSet<()>,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanRecord>>>);

/// A span as it was sent; ids are lower-case hex.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// The resource's `service.name`.
    pub service: String,
    /// The resource's attributes.
    pub resource: BTreeMap<String, String>,
    /// A route or RPC.
    pub name: String,
    /// `Server`, `Client`, …
    pub kind: String,
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// 16 digits, or empty at the root.
    pub parent: String,
    /// Its attributes, numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// When it began and ended, in nanoseconds.
    pub time: (u64, u64),
    /// Its status says that it failed.
    pub failed: bool,
}

impl Collector {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        let incoming =
            TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = incoming.local_addr().expect("it is bound");
        let spans = Spans::default();
        let router = Server::builder().add_service(TraceServiceServer::new(spans.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move {
            router
                .serve_with_incoming(incoming)
                .await
                .expect("it serves until it is dropped")
        });
        Self {
            address,
            spans,
            _server: server,
        }
    }

    /// Where it listens, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All spans received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.spans.0.lock().expect("nobody panics with it").clone()
    }

    /// The spans of one trace received so far.
    #[must_use]
    pub fn trace(&self, trace_id: &str) -> Vec<SpanRecord> {
        self.spans()
            .into_iter()
            .filter(|span| span.trace_id == trace_id)
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let records = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(records);
        self.0
            .lock()
            .expect("nobody panics with it")
            .extend(records);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn records(spans: ResourceSpans) -> impl Iterator<Item = SpanRecord> {
    let resource = attributes(spans.resource.unwrap_or_default().attributes);
    let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| record(resource.clone(), span))
}

fn record(resource: BTreeMap<String, String>, span: Span) -> SpanRecord {
    SpanRecord {
        service: resource.get("service.name").cloned().unwrap_or_default(),
        resource,
        kind: format!("{:?}", span.kind()),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: attributes(span.attributes),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    list.into_iter()
        .map(|KeyValue { key, value, .. }| (key, text(value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
