//! One call's record: written once, when its answer has ended, failed, or was dropped by the caller.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use mesh_context::{RequestContext, Span, SpanId, SpanKind, Value};
use tokio::time::Instant;
use tonic::Code;

use crate::{bulkhead::Place, downstream::Shared};

/// Names of OpenTelemetry's semantic conventions for RPC, and ours for the deadline.
mod attribute {
    pub(super) const RPC_SYSTEM: &str = "rpc.system";
    pub(super) const RPC_SERVICE: &str = "rpc.service";
    pub(super) const RPC_METHOD: &str = "rpc.method";
    pub(super) const RPC_STATUS: &str = "rpc.grpc.status_code";
    pub(super) const SERVER_ADDRESS: &str = "server.address";
    pub(super) const SERVER_PORT: &str = "server.port";
    pub(super) const DEADLINE_CAP: &str = "mesh.deadline.cap_ms";
    pub(super) const DEADLINE_REMAINING: &str = "mesh.deadline.remaining_ms";
    pub(super) const TASK: &str = "mesh.task";
}

/// A call under way. Dropped without [`Record::end`], it counts as cancelled by the caller.
#[derive(Debug)]
pub(crate) struct Record {
    shared: Arc<Shared>,
    index: usize,
    started: Instant,
    /// Only of a sampled request.
    span: Option<Box<OpenSpan>>,
    ended: bool,
    /// Room in the bulkhead, given back when the call ends.
    _place: Place,
}

#[derive(Debug)]
struct OpenSpan {
    context: RequestContext,
    id: SpanId,
    start: SystemTime,
    remaining_ms: i64,
}

impl Record {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        index: usize,
        context: &RequestContext,
        id: SpanId,
        place: Place,
    ) -> Self {
        let span = context.recorder().map(|_| {
            Box::new(OpenSpan {
                context: context.clone(),
                id,
                start: SystemTime::now(),
                remaining_ms: millis(context.deadline().remaining()),
            })
        });
        Self {
            shared: Arc::clone(shared),
            index,
            started: Instant::now(),
            span,
            ended: false,
            _place: place,
        }
    }

    /// The call ended so. Only the first end counts.
    pub(crate) fn end(&mut self, code: Code, message: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let call = &self.shared.peer.calls[self.index];
        self.shared
            .metrics
            .record(self.index, call.method(), code, self.started.elapsed());
        if let Some(span) = self.span.take() {
            span.submit(&self.shared, self.index, code, message);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Code::Cancelled, "the caller gave up");
    }
}

impl OpenSpan {
    fn submit(self, shared: &Shared, index: usize, code: Code, message: &str) {
        let Some(recorder) = self.context.recorder() else {
            return;
        };
        let call = &shared.peer.calls[index];
        let mut attributes = vec![
            (attribute::RPC_SYSTEM, Value::from("grpc")),
            (attribute::RPC_SERVICE, Value::from(call.service())),
            (attribute::RPC_METHOD, Value::from(call.method())),
            (
                attribute::RPC_STATUS,
                Value::from(i64::from(i32::from(code))),
            ),
            (attribute::SERVER_ADDRESS, Value::from(shared.host.clone())),
            (attribute::SERVER_PORT, Value::from(i64::from(shared.port))),
            (
                attribute::DEADLINE_CAP,
                Value::from(millis(call.cap.min(shared.timeout))),
            ),
            (
                attribute::DEADLINE_REMAINING,
                Value::from(self.remaining_ms),
            ),
        ];
        attributes.extend(
            self.context
                .task()
                .map(|task| (attribute::TASK, Value::from(task))),
        );
        recorder.submit(Span {
            trace_id: self.context.trace_id(),
            span_id: self.id,
            // A task has no server span that its calls could lie under.
            parent: self
                .context
                .task()
                .is_none()
                .then(|| self.context.span_id()),
            remote_parent: false,
            kind: SpanKind::Client,
            name: Cow::Borrowed(call.rpc.trim_start_matches('/')),
            start: self.start,
            end: SystemTime::now(),
            attributes,
            events: Vec::new(),
            links: Vec::new(),
            error: (code != Code::Ok).then(|| Cow::Owned(message.to_owned())),
        });
    }
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
