//! What is kept of a request once its answer is out: metrics, one access-log line, a span.
//!
//! A record is opened when the headers are there and closed with the answer's last frame. Dropped before that, the
//! caller has gone (or was cut): that is recorded too. Nothing for a span is built when the request is not sampled.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Request, Version};
use mesh_context::{Event, RequestContext, Span, SpanKind, SpanSink, Value, budget};
use tokio::time::Instant;
use tonic::Code;

use super::{
    activity::Ticket,
    admission::Permit,
    code,
    request::{Protocol, Shared},
    rescue::Refusal,
    routes::{Endpoint, Verb},
};
use crate::telemetry::names;

/// The number that stands for "the caller went away before it was answered": nginx's.
const CALLER_GONE: u16 = 499;

/// One finished request, as the access log gets it.
#[derive(Debug)]
pub struct AccessEntry<'a> {
    /// Trace id, span id and request id.
    pub context: &'a RequestContext,
    /// The HTTP method, `_OTHER` if it is none of the standard's.
    pub method: &'a str,
    /// The route, `unmatched` if there is none.
    pub route: &'a str,
    /// The HTTP status; 499 when the caller was gone before there was one.
    pub status: u16,
    /// The gRPC status by name, empty for plain HTTP.
    pub grpc_status: &'static str,
    /// From the headers' arrival to the answer's last frame.
    pub duration: Duration,
}

/// Writes one line per request; never blocks.
pub trait AccessLog: fmt::Debug + Send + Sync {
    /// Takes one finished request.
    fn write(&self, entry: &AccessEntry<'_>);
}

/// An open record.
pub(crate) struct Record {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    verb: Verb,
    context: RequestContext,
    started: Instant,
    status: Option<u16>,
    code: Option<Code>,
    span: Option<Box<Draft>>,
    permit: Option<Permit>,
    _ticket: Ticket,
    closed: bool,
}

/// What a span needs of the request, kept for sampled ones only.
struct Draft {
    sink: Arc<dyn SpanSink>,
    start: SystemTime,
    remaining: Duration,
    path: String,
    version: &'static str,
    events: Vec<Event>,
}

/// Which request a record is of.
pub(crate) struct Opened<'r> {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) verb: Verb,
    pub(crate) context: RequestContext,
    pub(crate) started: Instant,
    pub(crate) path: &'r str,
    pub(crate) version: Version,
}

impl<'r> Opened<'r> {
    /// The facts about a request whose headers have just arrived.
    pub(crate) fn of<B>(
        request: &'r Request<B>,
        endpoint: Arc<Endpoint>,
        context: RequestContext,
        started: Instant,
    ) -> Self {
        Self {
            endpoint,
            verb: Verb::of(request.method()),
            context,
            started,
            path: request.uri().path(),
            version: request.version(),
        }
    }
}

impl Record {
    pub(crate) fn open(shared: Arc<Shared>, opened: Opened<'_>, ticket: Ticket) -> Self {
        let Opened {
            endpoint,
            verb,
            context,
            started,
            path,
            version,
        } = opened;
        let span = context.recorder().map(|sink| {
            Box::new(Draft {
                sink: Arc::clone(sink),
                start: SystemTime::now(),
                remaining: context.deadline().remaining(),
                path: path.to_owned(),
                version: protocol_version(version),
                events: Vec::new(),
            })
        });
        Self {
            shared,
            endpoint,
            verb,
            context,
            started,
            status: None,
            code: None,
            span,
            permit: None,
            _ticket: ticket,
            closed: false,
        }
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    pub(crate) fn verb(&self) -> Verb {
        self.verb
    }

    pub(crate) fn route(&self) -> &str {
        self.endpoint.route()
    }

    /// The request may be worked on, for as long as its record is open.
    pub(crate) fn admit(&mut self, permit: Permit) {
        self.shared.metrics.in_flight.inc();
        self.permit = Some(permit);
    }

    /// It gets our answer instead of the handler's, or instead of the rest of it.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Full => self.shared.metrics.shed.inc(),
            Refusal::OutOfTime => {
                if let Some(draft) = &mut self.span {
                    draft.events.push(Event::now(budget::EXCEEDED));
                }
            }
            Refusal::Panicked | Refusal::Host | Refusal::Unreadable(_) => {}
        }
    }

    /// The answer's head.
    pub(crate) fn head(&mut self, status: http::StatusCode, headers: &http::HeaderMap) {
        self.status = Some(status.as_u16());
        self.trailers(headers);
    }

    /// The answer's trailers; an answer without a body carries them in its head.
    pub(crate) fn trailers(&mut self, headers: &http::HeaderMap) {
        if self.shared.protocol == Protocol::Grpc
            && let Some(status) = headers.get(tonic::Status::GRPC_STATUS)
        {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }

    /// The answer is whole.
    pub(crate) fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let status = self.status.unwrap_or(CALLER_GONE);
        let code = match self.shared.protocol {
            // An answer that ends without a status was not received.
            Protocol::Grpc => Some(self.code.unwrap_or(Code::Cancelled)),
            Protocol::Http => None,
        };
        let duration = self.started.elapsed();
        if self.permit.take().is_some() {
            self.shared.metrics.in_flight.dec();
        }
        let series = self.endpoint.series(self.verb, &self.shared.metrics);
        series.observe(status, code, duration);
        self.shared.access_log.write(&AccessEntry {
            context: &self.context,
            method: self.verb.as_str(),
            route: self.endpoint.route(),
            status,
            grpc_status: code.map_or("", code::name),
            duration,
        });
        if let Some(draft) = self.span.take() {
            let sink = Arc::clone(&draft.sink);
            sink.submit(self.span_of(*draft, status, code, duration));
        }
    }

    fn span_of(&self, draft: Draft, status: u16, code: Option<Code>, duration: Duration) -> Span {
        let (name, mut attributes) = self.endpoint.describe(self.verb);
        attributes.push((names::URL_PATH, draft.path.into()));
        attributes.push((names::URL_SCHEME, "http".into()));
        attributes.push((names::NETWORK_PROTOCOL_VERSION, draft.version.into()));
        attributes.push((names::HTTP_RESPONSE_STATUS_CODE, i64::from(status).into()));
        attributes.push((budget::REMAINING, Value::millis(draft.remaining)));
        if let Some(code) = code {
            attributes.push((
                names::RPC_GRPC_STATUS_CODE,
                i64::from(i32::from(code)).into(),
            ));
        }
        let error = failure(status, code);
        if let Some(error) = &error {
            attributes.push((names::ERROR_TYPE, Value::Text(error.clone())));
        }
        Span {
            trace_id: self.context.trace_id(),
            span_id: self.context.span_id(),
            parent: self.context.parent_span(),
            remote_parent: true,
            kind: SpanKind::Server,
            name,
            start: draft.start,
            end: draft.start + duration,
            attributes,
            events: draft.events,
            links: Vec::new(),
            error,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The server's fault, named as OpenTelemetry's `error.type`: an HTTP 5xx, or the gRPC codes its conventions list for
/// server spans. A caller's mistake is not an error of this span.
fn failure(status: u16, code: Option<Code>) -> Option<Cow<'static, str>> {
    if let Some(code) = code
        && code::is_server_fault(code)
    {
        return Some(code::name(code).into());
    }
    (status >= 500).then(|| status.to_string().into())
}

fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests;
