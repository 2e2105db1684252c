//! A finished span and where it goes. Built for sampled requests only.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use crate::{SpanId, TraceId};

/// One finished span, with OpenTelemetry's meaning of each field.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span it was started from; `None` at the root.
    pub parent: Option<SpanId>,
    /// The parent is in another process.
    pub remote_parent: bool,
    /// Its part in the exchange.
    pub kind: SpanKind,
    /// A route or RPC name, never with ids in it.
    pub name: Cow<'static, str>,
    /// When the work began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Facts, by names of the semantic conventions.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// Spans that belong to this one's cause without being its parent: of a message, the span that published it.
    pub links: Vec<(TraceId, SpanId)>,
    /// Why it failed; `None` leaves the status unset.
    pub error: Option<Cow<'static, str>>,
}

/// Something that happened during a span.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub name: &'static str,
    /// When.
    pub time: SystemTime,
    /// Facts about it.
    pub attributes: Vec<(&'static str, Value)>,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

/// A span's part in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
    /// Neither.
    Internal,
}

/// Takes finished spans to the exporter.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Takes one span; never blocks. A span that finds no room is dropped and counted.
    fn submit(&self, span: Span);
}

impl Event {
    /// It happens now.
    #[must_use]
    pub fn now(name: &'static str) -> Self {
        Self {
            name,
            time: SystemTime::now(),
            attributes: Vec::new(),
        }
    }
}

impl Value {
    /// Whole milliseconds.
    #[must_use]
    pub fn millis(time: Duration) -> Self {
        Self::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
