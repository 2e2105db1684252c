//! The spans of a message: one where it is published, one where it is worked on.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use mesh_context::{RequestContext, Span, SpanKind, Value, budget};

use crate::topology::{EXCHANGE, QUEUE, ROUTING_KEY};

/// Names of OpenTelemetry's semantic conventions for messaging.
mod attribute {
    pub(super) const SYSTEM: &str = "messaging.system";
    pub(super) const OPERATION_TYPE: &str = "messaging.operation.type";
    pub(super) const OPERATION_NAME: &str = "messaging.operation.name";
    pub(super) const DESTINATION: &str = "messaging.destination.name";
    pub(super) const ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
    pub(super) const MESSAGE_ID: &str = "messaging.message.id";
    pub(super) const ATTEMPT: &str = "mesh.message.attempt";
}

/// A span under way; its id is the context's current span.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    context: RequestContext,
    start: SystemTime,
    remaining: Duration,
    system: &'static str,
    message_id: String,
}

impl OpenSpan {
    pub(crate) fn start(
        context: &RequestContext,
        system: &'static str,
        message_id: &str,
    ) -> Option<Self> {
        context.recorder().map(|_| Self {
            context: context.clone(),
            start: SystemTime::now(),
            remaining: context.deadline().remaining(),
            system,
            message_id: message_id.to_owned(),
        })
    }

    /// The message was published, or was not.
    pub(crate) fn published(self, error: Option<String>) {
        let mut span = self.common("publish", "send", EXCHANGE);
        span.kind = SpanKind::Producer;
        span.name = Cow::Owned(format!("publish {EXCHANGE}"));
        span.parent = self.context.parent_span();
        // Read from an outbox: another process may have written it there.
        span.remote_parent = true;
        let key = (attribute::ROUTING_KEY, Value::from(ROUTING_KEY));
        span.attributes.push(key);
        self.submit(span, error);
    }

    /// Work on the message has ended. It is linked with the span that published it, and at the first attempt also its
    /// child; a later attempt is a root of its own in the same trace, because what came between belongs to neither.
    pub(crate) fn processed(self, attempt: u32, error: Option<String>) {
        let mut span = self.common("process", "process", QUEUE);
        let publisher = self.context.parent_span();
        span.kind = SpanKind::Consumer;
        span.name = Cow::Owned(format!("process {QUEUE}"));
        span.parent = publisher.filter(|_| attempt == 1);
        span.remote_parent = true;
        let trace_id = self.context.trace_id();
        span.links = publisher
            .map(|span_id| (trace_id, span_id))
            .into_iter()
            .collect();
        let attempt = (attribute::ATTEMPT, Value::from(i64::from(attempt)));
        let remaining = (budget::REMAINING, Value::millis(self.remaining));
        span.attributes.extend([attempt, remaining]);
        self.submit(span, error);
    }

    fn common(&self, name: &'static str, kind: &'static str, destination: &'static str) -> Span {
        Span {
            trace_id: self.context.trace_id(),
            span_id: self.context.span_id(),
            parent: None,
            remote_parent: false,
            kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start: self.start,
            end: SystemTime::now(),
            attributes: vec![
                (attribute::SYSTEM, Value::from(self.system)),
                (attribute::OPERATION_NAME, Value::from(name)),
                (attribute::OPERATION_TYPE, Value::from(kind)),
                (attribute::DESTINATION, Value::from(destination)),
                (attribute::MESSAGE_ID, Value::from(self.message_id.clone())),
            ],
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    fn submit(self, mut span: Span, error: Option<String>) {
        span.error = error.map(Cow::Owned);
        if let Some(recorder) = self.context.recorder() {
            recorder.submit(span);
        }
    }
}
