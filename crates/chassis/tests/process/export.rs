//! Spans leave the process, or are counted.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value,
};
use rustix::process::Signal;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::transport::server::TcpIncoming;

use crate::running::{LIMIT, Running, get, in_flight, tiny};

#[tokio::test]
async fn a_dead_collector_costs_dropped_spans_and_nothing_else() {
    // Bound and closed again: nobody listens there.
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = tiny();
    let mut running =
        Running::ready(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nowhere}")))
            .await;
    for _ in 0..3 {
        assert_eq!(get(running.http, "/hello").await.unwrap().0, 200);
    }
    let counted = async {
        while !get(running.admin, "/metrics")
            .await
            .unwrap()
            .1
            .contains("spans_dropped_total 3")
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, counted)
        .await
        .expect("three spans are dropped");
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(0));
    let warnings = running
        .log
        .iter()
        .filter(|line| line["level"] == "WARN")
        .count();
    assert_eq!(warnings, 1, "{:#?}", running.log);
}

/// Passes on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.0.send(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn spans_reach_the_collector_and_the_last_ones_are_flushed_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut exports) = mpsc::unbounded_channel();
    let mut collecting = JoinSet::new();
    collecting.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let mut command = tiny();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command.env("OTEL_RESOURCE_ATTRIBUTES", "team=shop");
    let mut running = Running::ready(&mut command).await;
    assert_eq!(get(running.http, "/hello").await.unwrap().0, 200);
    let first = timeout(LIMIT, exports.recv()).await.unwrap().unwrap();
    let spans = &first.resource_spans[0];
    let attribute = |key: &str| {
        let attributes = &spans.resource.as_ref().unwrap().attributes;
        let value = attributes
            .iter()
            .find(|pair| pair.key == key)?
            .value
            .clone()?;
        match value.value? {
            any_value::Value::StringValue(text) => Some(text),
            _ => None,
        }
    };
    assert_eq!(attribute("service.name").as_deref(), Some("tiny"));
    assert_eq!(attribute("team").as_deref(), Some("shop"));
    assert!(attribute("service.version").is_some());
    assert_eq!(spans.scope_spans[0].spans[0].name, "GET /hello");

    let slow = in_flight(&running, "/slow").await;
    running.signal(Signal::TERM);
    assert_eq!(slow.await.unwrap().0, 200);
    assert_eq!(running.ended().await.code(), Some(0));
    let last = exports
        .try_recv()
        .expect("exported before the process ended");
    assert_eq!(
        last.resource_spans[0].scope_spans[0].spans[0].name,
        "GET /slow"
    );
}
