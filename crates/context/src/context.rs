//! The context of one request: what a service holds and passes on, whole.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Deadline, Formats, Policy, RequestId, SpanId, SpanSink, TraceId, b3, header, w3c};

/// Trace, request id and deadline of the request being worked on. Cheap to clone.
///
/// Made by [`accept`](crate::accept) from what arrived, or by [`RequestContext::for_task`] for work that no request
/// started.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) trace_id: TraceId,
    /// The server span; without spans of our own, the span that called us.
    pub(crate) span_id: SpanId,
    /// The span that called us, when this process makes spans.
    pub(crate) parent: Option<SpanId>,
    pub(crate) sampled: bool,
    pub(crate) debug: bool,
    pub(crate) request_id: RequestId,
    pub(crate) deadline: Deadline,
    pub(crate) task: Option<&'static str>,
    /// Goes onward as it is.
    pub(crate) passed_on: Vec<(HeaderName, HeaderValue)>,
    pub(crate) formats: Formats,
    pub(crate) spans: Option<Arc<dyn SpanSink>>,
}

impl RequestContext {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// For work that no request started (a relay, a reconciler): a new trace, a new request id and a deadline of its own,
    /// `limit` from now.
    #[must_use]
    pub fn for_task(name: &'static str, limit: Duration, policy: &Policy) -> Self {
        let trace_id = TraceId::random();
        let sampled = policy.spans.is_some() && policy.sampler.decide(trace_id, None);
        let span_id = SpanId::random();
        let passed_on = match policy.spans {
            Some(_) => Vec::new(),
            None => new_trace(policy.formats, (trace_id, span_id, sampled)),
        };
        Self::new(Inner {
            trace_id,
            span_id,
            parent: None,
            sampled,
            debug: false,
            request_id: RequestId::new(sampled),
            deadline: Deadline::after(limit),
            task: Some(name),
            passed_on,
            formats: policy.formats,
            spans: policy.spans.clone(),
        })
    }

    /// Names the trace this request belongs to.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.0.trace_id
    }

    /// The current span: this process's server span, or the caller's when this process makes none.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.0.span_id
    }

    /// The caller's span, when this process makes spans and the caller named one.
    #[must_use]
    pub fn parent_span(&self) -> Option<SpanId> {
        self.0.parent
    }

    /// The trace is recorded.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.0.sampled
    }

    /// Correlates the log lines of all processes.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.0.request_id
    }

    /// When work on the request must be over.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.0.deadline
    }

    /// The name of the task, for work that no request started.
    #[must_use]
    pub fn task(&self) -> Option<&'static str> {
        self.0.task
    }

    /// Where spans of this request go; `None` when the request is not sampled or this process makes no spans.
    #[must_use]
    pub fn recorder(&self) -> Option<&Arc<dyn SpanSink>> {
        self.0.spans.as_ref().filter(|_| self.0.sampled)
    }

    /// The same request with a deadline of its own, for work that has to be done although the request's time is up: a
    /// compensation. Trace and request id stay.
    #[must_use]
    pub fn with_deadline(&self, deadline: Deadline) -> Self {
        let inner = &*self.0;
        Self::new(Inner {
            trace_id: inner.trace_id,
            span_id: inner.span_id,
            parent: inner.parent,
            sampled: inner.sampled,
            debug: inner.debug,
            request_id: inner.request_id.clone(),
            deadline,
            task: inner.task,
            passed_on: inner.passed_on.clone(),
            formats: inner.formats,
            spans: inner.spans.clone(),
        })
    }

    /// The id for a span below the current one; without spans of our own, the id that came in.
    #[must_use]
    pub fn child_span(&self) -> SpanId {
        if self.0.spans.is_some() {
            SpanId::random()
        } else {
            self.0.span_id
        }
    }

    /// Writes every propagated header; `span` (from [`child_span`](Self::child_span)) becomes the receiver's parent. The
    /// deadline is not among them: it shrinks with each call, see [`Deadline::outbound`].
    pub fn write_headers(&self, headers: &mut HeaderMap, span: SpanId) {
        let inner = &*self.0;
        let request_id = inner.request_id.header_value().clone();
        headers.insert(HeaderName::from_static(header::REQUEST_ID), request_id);
        for (name, value) in &inner.passed_on {
            headers.insert(name.clone(), value.clone());
        }
        if inner.spans.is_none() {
            return;
        }
        if inner.formats.w3c {
            let traceparent = w3c::format(inner.trace_id, span, inner.sampled);
            headers.insert(HeaderName::from_static(header::TRACEPARENT), traceparent);
        }
        let b3 = b3::Outgoing {
            trace_id: inner.trace_id,
            span_id: span,
            // The current span itself is written where its work goes on elsewhere: an outbox.
            parent: if span == inner.span_id {
                inner.parent
            } else {
                Some(inner.span_id)
            },
            sampled: inner.sampled,
            debug: inner.debug,
            short: false,
        };
        b3.write(headers, inner.formats.b3, inner.formats.b3_multi);
    }
}

/// The headers of a trace that nobody sent and nobody makes spans of: W3C's, or B3's where only that is spoken.
pub(crate) fn new_trace(
    formats: Formats,
    (trace_id, span_id, sampled): (TraceId, SpanId, bool),
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = HeaderMap::new();
    if formats.w3c {
        let traceparent = w3c::format(trace_id, span_id, sampled);
        headers.insert(HeaderName::from_static(header::TRACEPARENT), traceparent);
    } else {
        let b3 = b3::Outgoing {
            trace_id,
            span_id,
            parent: None,
            sampled,
            debug: false,
            short: false,
        };
        b3.write(&mut headers, formats.b3, formats.b3_multi);
    }
    let named = headers.into_iter();
    named
        .filter_map(|(name, value)| Some((name?, value)))
        .collect()
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("trace_id", &self.0.trace_id)
            .field("span_id", &self.0.span_id)
            .field("sampled", &self.0.sampled)
            .field("request_id", &self.0.request_id)
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}
