//! Hands every request on to another collector, which may be slow, broken or absent: that costs spans there, and
//! nothing here. What waits for it is bounded; what finds no room or is not taken is counted.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Uri},
};

/// What may wait, in KiB as it is sent.
const ROOM: u32 = 4 * 1024;
/// For one request, and for the connection.
const LIMIT: Duration = Duration::from_secs(5);
/// A deadline of the hop before.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Another collector.
#[derive(Debug)]
pub struct Forward {
    endpoint: Endpoint,
    queue: mpsc::UnboundedReceiver<Item>,
    intake: Intake,
}

/// The address of no collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} must be http://host:port of a collector's OTLP/gRPC port, such as http://localhost:4317"
)]
pub struct BadEndpoint(String);

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Spans that the other collector did not get.
    pub dropped_spans: u64,
    /// Why it did not take the last request.
    pub problem: Option<String>,
}

/// A cheap handle on what is being forwarded.
#[derive(Clone, Debug)]
pub struct Forwarding {
    room: Arc<Semaphore>,
    waiting: Arc<AtomicU64>,
    health: watch::Receiver<Health>,
}

/// The end of the queue where requests are put in.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    queue: mpsc::UnboundedSender<Item>,
    room: Arc<Semaphore>,
    /// Spans that were put in and have not reached the other end.
    waiting: Arc<AtomicU64>,
    health: Arc<watch::Sender<Health>>,
}

#[derive(Debug)]
struct Item {
    request: Request<ExportTraceServiceRequest>,
    spans: u64,
    _room: OwnedSemaphorePermit,
}

impl Forward {
    /// To the collector at `http://host:port`; it is connected to when there is something to send.
    ///
    /// # Errors
    ///
    /// When that is no such address.
    pub fn to(endpoint: &str) -> Result<Self, BadEndpoint> {
        let uri = endpoint.parse::<Uri>().ok();
        let uri = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
        let uri = uri.ok_or_else(|| BadEndpoint(endpoint.to_owned()))?;
        let (sender, queue) = mpsc::unbounded_channel();
        Ok(Self {
            endpoint: Endpoint::from(uri).connect_timeout(LIMIT).timeout(LIMIT),
            queue,
            intake: Intake {
                queue: sender,
                room: Arc::new(Semaphore::new(ROOM as usize)),
                waiting: Arc::new(AtomicU64::new(0)),
                health: Arc::new(watch::Sender::new(Health::default())),
            },
        })
    }

    /// To watch how it goes.
    #[must_use]
    pub fn forwarding(&self) -> Forwarding {
        Forwarding {
            room: Arc::clone(&self.intake.room),
            waiting: Arc::clone(&self.intake.waiting),
            health: self.intake.health.subscribe(),
        }
    }

    pub(crate) fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Sends, one request after the other.
    pub(crate) async fn run(self) -> Infallible {
        let Self {
            endpoint,
            mut queue,
            intake: Intake {
                health, waiting, ..
            },
        } = self;
        let mut collector = TraceServiceClient::new(endpoint.connect_lazy());
        loop {
            let Some(item) = queue.recv().await else {
                return pending().await;
            };
            let Item {
                request,
                spans,
                _room,
            } = item;
            let (lost, problem) = match send(&mut collector, request).await {
                Ok(rejected) => (rejected, None),
                Err(status) => (spans, Some(reason(&status))),
            };
            health.send_if_modified(|health| {
                let before = health.clone();
                health.dropped_spans += lost;
                health.problem = problem;
                *health != before
            });
            waiting.fetch_sub(spans, Relaxed);
        }
    }
}

/// How many of the spans the collector did not want.
async fn send(
    collector: &mut TraceServiceClient<Channel>,
    request: Request<ExportTraceServiceRequest>,
) -> Result<u64, Status> {
    let answer = collector.export(request).await?.into_inner();
    let partial = answer.partial_success.unwrap_or_default();
    Ok(u64::try_from(partial.rejected_spans).unwrap_or_default())
}

/// The message of a status says less than what caused it.
fn reason(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    if text.is_empty() {
        status.code().to_string()
    } else {
        text
    }
}

impl Intake {
    /// Never waits.
    pub(crate) fn put(&self, mut metadata: MetadataMap, message: ExportTraceServiceRequest) {
        let kibibytes = message.encoded_len().div_ceil(1024).max(1);
        let kibibytes = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        let spans = count(&message);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kibibytes) else {
            self.health
                .send_modify(|health| health.dropped_spans += spans);
            return;
        };
        self.waiting.fetch_add(spans, Relaxed);
        metadata.remove(GRPC_TIMEOUT);
        let request = Request::from_parts(metadata, tonic::Extensions::default(), message);
        // Whoever sends is gone only when all of it ends.
        let _gone = self.queue.send(Item {
            request,
            spans,
            _room: room,
        });
    }
}

fn count(message: &ExportTraceServiceRequest) -> u64 {
    let scopes = message
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

impl Forwarding {
    /// How it goes, whenever that changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Spans that the other collector does not have, if all ends now: they were dropped, or still wait to be sent.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.health.borrow().dropped_spans + self.waiting.load(Relaxed)
    }

    /// Waits until nothing waits to be sent.
    pub async fn flushed(&self) {
        // It is never closed.
        let _all = self.room.acquire_many(ROOM).await;
    }
}
