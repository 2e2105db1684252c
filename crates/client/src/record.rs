//! One call's record: written once, when its answer has ended, failed, or was dropped by the caller. Of a call that is not
//! made there is a span and nothing else.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh_context::{Deadline, Event, RequestContext, Span, SpanId, SpanKind, Value, budget};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{bulkhead::Place, downstream::Shared, refusal::is_not_started};

/// Names of OpenTelemetry's semantic conventions for RPC, and ours for what no request started.
mod attribute {
    pub(super) const RPC_SYSTEM: &str = "rpc.system";
    pub(super) const RPC_SERVICE: &str = "rpc.service";
    pub(super) const RPC_METHOD: &str = "rpc.method";
    pub(super) const RPC_STATUS: &str = "rpc.grpc.status_code";
    pub(super) const SERVER_ADDRESS: &str = "server.address";
    pub(super) const SERVER_PORT: &str = "server.port";
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
    /// The call's own.
    deadline: Deadline,
    remaining: Duration,
}

impl Record {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        index: usize,
        context: &RequestContext,
        id: SpanId,
        deadline: Deadline,
        place: Place,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            index,
            started: Instant::now(),
            span: OpenSpan::start(context, id, deadline).map(Box::new),
            ended: false,
            _place: place,
        }
    }

    /// The call ended so. Only the first end counts.
    pub(crate) fn end(&mut self, code: Code, message: &str) {
        self.finish(code, message, None);
    }

    /// The call failed on our side: no answer says so.
    pub(crate) fn fail(&mut self, status: &Status) {
        let reason = is_not_started(status).then_some("connection");
        self.finish(status.code(), status.message(), reason);
    }

    fn finish(&mut self, code: Code, message: &str, not_started: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let call = &self.shared.peer.calls[self.index];
        self.shared
            .metrics
            .record(self.index, call.method(), code, self.started.elapsed());
        if let Some(span) = self.span.take() {
            span.submit(&self.shared, self.index, (code, message), not_started);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Code::Cancelled, "the caller gave up");
    }
}

/// The span of a call that is refused before it leaves.
pub(crate) fn refused(
    shared: &Shared,
    index: usize,
    context: &RequestContext,
    deadline: Deadline,
    status: &Status,
    reason: &'static str,
) {
    if let Some(span) = OpenSpan::start(context, context.child_span(), deadline) {
        let ended = (status.code(), status.message());
        span.submit(shared, index, ended, Some(reason));
    }
}

impl OpenSpan {
    /// None of a request that is not sampled.
    fn start(context: &RequestContext, id: SpanId, deadline: Deadline) -> Option<Self> {
        context.recorder().map(|_| Self {
            context: context.clone(),
            id,
            start: SystemTime::now(),
            deadline,
            remaining: deadline.remaining(),
        })
    }

    fn submit(
        self,
        shared: &Shared,
        index: usize,
        (code, message): (Code, &str),
        not_started: Option<&'static str>,
    ) {
        let Some(recorder) = self.context.recorder() else {
            return;
        };
        let events = self.events(code, not_started);
        let call = &shared.peer.calls[index];
        let status = i64::from(i32::from(code));
        let mut attributes = vec![
            (attribute::RPC_SYSTEM, Value::from("grpc")),
            (attribute::RPC_SERVICE, Value::from(call.service())),
            (attribute::RPC_METHOD, Value::from(call.method())),
            (attribute::RPC_STATUS, Value::from(status)),
            (attribute::SERVER_ADDRESS, Value::from(shared.host.clone())),
            (attribute::SERVER_PORT, Value::from(i64::from(shared.port))),
            (budget::CAP, Value::millis(call.cap.min(shared.timeout))),
            (budget::REMAINING, Value::millis(self.remaining)),
        ];
        let task = self.context.task();
        attributes.extend(task.map(|task| (attribute::TASK, Value::from(task))));
        recorder.submit(Span {
            trace_id: self.context.trace_id(),
            span_id: self.id,
            // A task has no server span that its calls could lie under.
            parent: task.is_none().then(|| self.context.span_id()),
            remote_parent: false,
            kind: SpanKind::Client,
            name: Cow::Borrowed(call.rpc.trim_start_matches('/')),
            start: self.start,
            end: SystemTime::now(),
            attributes,
            events,
            links: Vec::new(),
            error: (code != Code::Ok).then(|| Cow::Owned(message.to_owned())),
        });
    }

    fn events(&self, code: Code, not_started: Option<&'static str>) -> Vec<Event> {
        if let Some(reason) = not_started {
            let mut event = Event::now(budget::NOT_STARTED);
            event.attributes.push((budget::REASON, reason.into()));
            return vec![event];
        }
        let cut = code == Code::DeadlineExceeded && self.deadline.passed();
        cut.then(|| Event::now(budget::EXCEEDED))
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use mesh_context::{Policy, Sampler, SpanSink, accept};

    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl SpanSink for Nowhere {
        fn submit(&self, _: Span) {}
    }

    #[tokio::test]
    async fn nothing_is_kept_for_a_span_that_nobody_will_see() {
        let limit = Duration::from_secs(1);
        for (sampler, is_kept) in [(Sampler::PARENT_BASED_ON, true), (Sampler::OFF, false)] {
            let policy = Policy {
                spans: Some(Arc::new(Nowhere)),
                sampler,
                ..Policy::inside(limit)
            };
            let context = accept(&HeaderMap::new(), &policy).context;
            let span = OpenSpan::start(&context, context.child_span(), context.deadline());
            assert_eq!(span.is_some(), is_kept, "{sampler:?}");
        }
    }
}
