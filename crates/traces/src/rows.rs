//! From spans as they were sent to the rows that are drawn.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span},
};

use crate::{
    Event, Kind, SpanRow, Summary, Trace, TraceId, critical, cut,
    digest::{failed, has_parent, times},
    packed::{Origin, Spans},
    tree::{Place, Tree},
};

/// Rows of one trace.
const MOST_ROWS: usize = 2_000;

/// What the attributes are called that are more than a text.
mod attribute {
    pub(super) const REMAINING: &str = "mesh.deadline.remaining_ms";
    pub(super) const CAP: &str = "mesh.deadline.cap_ms";
    pub(super) const ERROR_TYPE: &str = "error.type";
    /// The gRPC status first: a gRPC answer is an HTTP answer too, with 200 nearly always.
    pub(super) const STATUS: [&str; 4] = [
        "rpc.grpc.status_code",
        "rpc.response.status_code",
        "http.response.status_code",
        "http.status_code",
    ];
}

/// In the order of their numbers.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name under which stands what was left out.
const LEFT_OUT: &str = "…";

/// Draws it. `begin`: the summary's start, in nanoseconds since 1970.
pub(crate) fn trace(summary: Summary, pieces: Vec<Spans>, begin: u64) -> Trace {
    let pieces: Vec<(Origin, Vec<Span>)> = pieces
        .into_iter()
        .map(|piece| (piece.origin.unwrap_or_default(), piece.spans))
        .collect();
    let (origins, spans): (Vec<&Origin>, Vec<&Span>) = pieces
        .iter()
        .flat_map(|(origin, spans)| spans.iter().map(move |span| (origin, span)))
        .unzip();
    let Tree { order, children } = Tree::of(&spans);
    let all_times: Vec<_> = spans
        .iter()
        .map(|span| times(span).unwrap_or((begin, begin)))
        .collect();
    let is_critical = match order.first() {
        Some(top) => critical::path(top.span, &children, &all_times),
        None => Vec::new(),
    };
    let rows = order.iter().take(MOST_ROWS).map(|place| {
        let mut row = row(place, spans[place.span], origins[place.span], begin);
        row.is_critical = is_critical[place.span];
        row
    });
    Trace {
        spans: rows.collect(),
        left_out: order.len().saturating_sub(MOST_ROWS),
        summary,
    }
}

fn row(place: &Place, span: &Span, origin: &Origin, begin: u64) -> SpanRow {
    let (start, end) = times(span).unwrap_or((begin, begin));
    SpanRow {
        id: hex(&span.span_id),
        parent: has_parent(span).then(|| hex(&span.parent_span_id)),
        depth: place.depth,
        process: origin.process().to_owned(),
        service: origin.service.clone(),
        name: span.name.clone(),
        kind: kind(span),
        offset: Duration::from_nanos(start - begin),
        duration: Duration::from_nanos(end - start),
        remaining: milliseconds(span, attribute::REMAINING),
        cap: milliseconds(span, attribute::CAP),
        error: error(span),
        status: status(span),
        attributes: attributes(&span.attributes, &left_out(span)),
        events: events(span, begin),
        links: span
            .links
            .iter()
            .filter_map(|link| TraceId::read(&link.trace_id))
            .collect(),
        is_critical: false,
        is_detached: place.is_detached,
    }
}

/// The status by its name or number; empty if the span has none.
pub(crate) fn status(span: &Span) -> String {
    let mut named = attribute::STATUS
        .into_iter()
        .filter_map(|name| Some((name, find(span, name)?)));
    let Some((name, value)) = named.next() else {
        return String::new();
    };
    match value {
        Value::IntValue(number) if name == "rpc.grpc.status_code" => usize::try_from(*number)
            .ok()
            .and_then(|number| GRPC_CODES.get(number))
            .map_or_else(|| number.to_string(), |name| (*name).to_owned()),
        Value::IntValue(number) => number.to_string(),
        Value::StringValue(text) => text.clone(),
        _ => String::new(),
    }
}

fn find<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key == name)?;
    found.value.as_ref()?.value.as_ref()
}

/// A time that has run out is none, not a negative one.
fn milliseconds(span: &Span, name: &str) -> Option<Duration> {
    match find(span, name)? {
        Value::IntValue(millis) => Some(Duration::from_millis(
            u64::try_from(*millis).unwrap_or_default(),
        )),
        _ => None,
    }
}

/// What the span says of its failure, in as many words as it uses.
fn error(span: &Span) -> Option<String> {
    if !failed(span) {
        return None;
    }
    let message = span.status.as_ref().map(|status| status.message.as_str());
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        return Some(message.to_owned());
    }
    match find(span, attribute::ERROR_TYPE) {
        Some(Value::StringValue(kind)) => Some(kind.clone()),
        _ => Some("failed".to_owned()),
    }
}

fn kind(span: &Span) -> Kind {
    match span.kind() {
        span::SpanKind::Unspecified | span::SpanKind::Internal => Kind::Internal,
        span::SpanKind::Server => Kind::Server,
        span::SpanKind::Client => Kind::Client,
        span::SpanKind::Producer => Kind::Producer,
        span::SpanKind::Consumer => Kind::Consumer,
    }
}

fn attributes(list: &[KeyValue], left_out: &str) -> Vec<(String, String)> {
    let shown = list.iter().map(|KeyValue { key, value, .. }| {
        let value = value.as_ref().map(cut::shown);
        (key.clone(), value.unwrap_or_default())
    });
    let more = Some(left_out).filter(|more| !more.is_empty());
    shown
        .chain(more.map(|more| (LEFT_OUT.to_owned(), more.to_owned())))
        .collect()
}

fn left_out(span: &Span) -> String {
    let counts = [
        (span.dropped_attributes_count, "attributes"),
        (span.dropped_events_count, "events"),
        (span.dropped_links_count, "links"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!("{count} more {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn events(span: &Span, begin: u64) -> Vec<Event> {
    let event = |event: &span::Event| {
        let more = match event.dropped_attributes_count {
            0 => String::new(),
            count => format!("{count} more attributes"),
        };
        Event {
            name: event.name.clone(),
            offset: Duration::from_nanos(event.time_unix_nano.saturating_sub(begin)),
            attributes: attributes(&event.attributes, &more),
        }
    };
    span.events.iter().map(event).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
