//! What can be said of a trace without looking at each of its spans again: kept beside them, for lists and filters.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use crate::rows;

/// Grows with each span; the order in which they arrive changes nothing but ties.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest {
    head: Option<Head>,
    /// Of all spans that say when they were.
    extent: Option<(u64, u64)>,
    spans: usize,
    is_error: bool,
}

/// The span that names the trace.
#[derive(Clone, Debug)]
struct Head {
    has_parent: bool,
    is_call: bool,
    start: u64,
    /// In nanoseconds.
    took: u64,
    route: Box<str>,
    status: Box<str>,
}

/// Start and end in nanoseconds since 1970, the end not before the start; none if the span names neither.
pub(crate) fn times(span: &Span) -> Option<(u64, u64)> {
    match (span.start_time_unix_nano, span.end_time_unix_nano) {
        (0, 0) => None,
        (0, end) => Some((end, end)),
        (start, end) => Some((start, end.max(start))),
    }
}

/// A parent of zeros is none.
pub(crate) fn has_parent(span: &Span) -> bool {
    span.parent_span_id.iter().any(|byte| *byte != 0)
}

pub(crate) fn failed(span: &Span) -> bool {
    let code = span.status.as_ref().map(|status| status.code());
    code == Some(StatusCode::Error)
}

impl Digest {
    pub(crate) fn note(&mut self, span: &Span) {
        let times = times(span);
        let rank = (has_parent(span), times.map_or(u64::MAX, |(start, _)| start));
        if self.head.as_ref().is_none_or(|head| rank < head.rank()) {
            self.head = Some(Head {
                has_parent: rank.0,
                is_call: matches!(span.kind(), SpanKind::Client | SpanKind::Producer),
                start: rank.1,
                took: times.map_or(0, |(start, end)| end - start),
                route: span.name.as_str().into(),
                status: rows::status(span).into(),
            });
        }
        self.widen(times);
        self.spans += 1;
        self.is_error |= failed(span);
    }

    /// As if the other's spans had been noted after our own.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self {
            head,
            extent,
            spans,
            is_error,
        } = other;
        if let Some(head) = head
            && self
                .head
                .as_ref()
                .is_none_or(|ours| head.rank() < ours.rank())
        {
            self.head = Some(head);
        }
        self.widen(extent);
        self.spans += spans;
        self.is_error |= is_error;
    }

    fn widen(&mut self, times: Option<(u64, u64)>) {
        self.extent = match (self.extent, times) {
            (Some((start, end)), Some((other_start, other_end))) => {
                Some((start.min(other_start), end.max(other_end)))
            }
            (extent, times) => extent.or(times),
        };
    }

    pub(crate) fn route(&self) -> &str {
        self.head.as_ref().map_or("", |head| &head.route)
    }

    pub(crate) fn status(&self) -> &str {
        self.head.as_ref().map_or("", |head| &head.status)
    }

    /// How long the span took that names the trace.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_nanos(self.head.as_ref().map_or(0, |head| head.took))
    }

    /// Somebody asked for it: it is not what a process began to ask others by itself.
    pub(crate) fn is_request(&self) -> bool {
        let head = self.head.as_ref();
        head.is_none_or(|head| head.has_parent || !head.is_call)
    }

    pub(crate) fn is_error(&self) -> bool {
        self.is_error
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// In nanoseconds since 1970.
    pub(crate) fn begin(&self) -> u64 {
        self.extent.map_or(0, |(start, _)| start)
    }

    pub(crate) fn start(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.begin())
    }

    pub(crate) fn duration(&self) -> Duration {
        let nanos = self.extent.map_or(0, |(start, end)| end - start);
        Duration::from_nanos(nanos)
    }

    /// How long its texts are, each an allocation.
    pub(crate) fn texts(&self) -> [usize; 2] {
        [self.route().len(), self.status().len()]
    }
}

impl Head {
    /// The root before all others, then the earliest.
    fn rank(&self) -> (bool, u64) {
        (self.has_parent, self.start)
    }
}
