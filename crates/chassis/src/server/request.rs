//! The one layer every request pays for: context, route, admission, deadline, panics and record, in one future.
//!
//! One layer and not seven, with nothing allocated that an unsampled request does not need: the usual construction costs
//! three times what a bare call does, this one a few per cent. Each job is a file of its own and tested there; here they
//! meet, in this order:
//!
//! 1. route, headers, record open: whatever happens from here on is counted, logged and named;
//! 2. what needs no handler: a request for two hosts, or out of time already;
//! 3. admission: room now, or a place in the queue;
//! 4. the handler, until it answers, panics or its time is up; then it is dropped;
//! 5. the answer: problem bodies, ids; its body carries the record on (see `response.rs`).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use ::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body::Body;
use mesh_context::{Policy, RequestContext, accept, header};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{Service, ServiceExt, util::Oneshot};

use super::{
    activity::Activity,
    admission::{Admission, Wait},
    host,
    metrics::Metrics,
    problem,
    record::{AccessLog, Opened, Record},
    rescue::{self, Refusal},
    response::ResponseBody,
    routes::{Class, Routes, Verb},
    upload::Upload,
};
use crate::BoxError;

/// On every answer; not a standard's, so no constant elsewhere.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
/// The longest a health watch lives: it is no work, so the process's limit on work is not its.
const WATCH: Duration = Duration::from_secs(24 * 60 * 60);

/// What a listener speaks, and so how its errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Plain HTTP: errors are problems.
    Http,
    /// gRPC: errors are statuses.
    Grpc,
}

/// What all requests of a listener have in common.
pub(crate) struct Shared {
    pub(crate) protocol: Protocol,
    pub(crate) routes: Routes,
    pub(crate) policy: Policy,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: Arc<dyn AccessLog>,
}

/// The layer in front of `S`.
#[derive(Clone)]
pub(crate) struct Stack<S> {
    inner: S,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
}

impl<S> Stack<S> {
    pub(crate) fn new(inner: S, shared: Shared) -> Self {
        Self {
            inner,
            shared: Arc::new(shared),
            activity: Activity::new(),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// The same stack for one connection.
    pub(crate) fn on(self, activity: Arc<Activity>) -> Self {
        Self { activity, ..self }
    }

    /// The same without what answers.
    pub(super) fn alone(&self) -> Stack<()> {
        Stack {
            inner: (),
            shared: Arc::clone(&self.shared),
            activity: Arc::clone(&self.activity),
        }
    }

    /// Step 1.
    pub(super) fn open<B>(&self, request: &Request<B>) -> (Record, Class) {
        let started = Instant::now();
        let shared = &self.shared;
        let endpoint = shared.routes.find(request.uri().path());
        let verb = Verb::of(request.method());
        let class = endpoint.class(verb);
        let accepted = match class {
            Class::Critical | Class::Normal => accept(request.headers(), &shared.policy),
            Class::Health => accept(request.headers(), &for_health(&shared.policy)),
        };
        if accepted.malformed_deadline {
            shared.metrics.deadline_malformed.inc();
        }
        if accepted.conflict {
            shared.metrics.trace_conflict.inc();
        }
        let context = accepted.context;
        let ticket = self
            .activity
            .begin(Arc::clone(endpoint), verb, context.clone());
        let opened = Opened::of(request, Arc::clone(endpoint), context, started);
        (Record::open(Arc::clone(shared), opened, ticket), class)
    }

    /// Step 2.
    fn refusal<B>(&self, request: &Request<B>, context: &RequestContext) -> Option<Refusal> {
        match self.shared.protocol {
            Protocol::Http if !host::is_clear(request) => Some(Refusal::Host),
            Protocol::Http | Protocol::Grpc => {
                context.deadline().passed().then_some(Refusal::OutOfTime)
            }
        }
    }
}

impl Stack<()> {
    /// The answer to what never became a request, on record as one of no known method or route.
    pub(super) fn unreadable(&self, status: StatusCode) -> Response<Bytes> {
        let unread = Request::builder().method("UNREADABLE").uri("*").body(());
        let unread = unread.expect("a name and a star are a method and a target");
        let (mut record, _) = self.open(&unread);
        let refusal = Refusal::Unreadable(status);
        record.refuse(refusal);
        let (parts, text) = refusal
            .answer(record.protocol(), record.context())
            .into_parts();
        let mut response = Response::from_parts(parts, ());
        identify(&mut response, &record);
        record.head(response.status(), response.headers());
        record.close();
        response.map(|()| text)
    }
}

/// A question about the process leaves no span, and a watch of it may last.
fn for_health(policy: &Policy) -> Policy {
    Policy {
        limit: WATCH,
        spans: None,
        ..policy.clone()
    }
}

impl<S, B, RB> hyper::service::Service<Request<B>> for Stack<S>
where
    S: Service<Request<Upload<B>>, Response = Response<RB>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
    RB: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = Infallible;
    type Future = ResponseFuture<S, B>;

    fn call(&self, mut request: Request<B>) -> ResponseFuture<S, B> {
        let (mut record, class) = self.open(&request);
        let refusal = self.refusal(&request, record.context());
        request.extensions_mut().insert(record.context().clone());
        let request = request.map(match self.shared.protocol {
            Protocol::Http => Upload::http,
            Protocol::Grpc => Upload::grpc,
        });
        let mut wait = None;
        if refusal.is_none() && class != Class::Health {
            match self.shared.admission.enter(class) {
                Some(permit) => record.admit(permit),
                None => {
                    let deadline = record.context().deadline();
                    wait = Some(self.shared.admission.wait(class, deadline));
                }
            }
        }
        ResponseFuture {
            work: Some(self.inner.clone().oneshot(request)),
            timer: None,
            wait,
            refusal,
            record: Some(record),
        }
    }
}

pin_project! {
    /// Steps 3 to 5.
    pub(crate) struct ResponseFuture<S, B>
    where
        S: Service<Request<Upload<B>>>,
    {
        #[pin]
        work: Option<Oneshot<S, Request<Upload<B>>>>,
        // The deadline; armed when the handler has something to wait for.
        #[pin]
        timer: Option<Sleep>,
        // A place in the queue, when there was no room.
        wait: Option<Wait>,
        // Decided before the handler was asked.
        refusal: Option<Refusal>,
        record: Option<Record>,
    }
}

impl<S, B, RB> Future for ResponseFuture<S, B>
where
    S: Service<Request<Upload<B>>, Response = Response<RB>, Error = Infallible>,
    RB: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<ResponseBody<RB>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.as_mut().poll_outcome(cx));
        let mut this = self.project();
        this.work.set(None);
        let record = this.record.take().expect("polled after it was ready");
        Poll::Ready(Ok(match outcome {
            Ok(response) => finished(response, record),
            Err(refusal) => refused(refusal, record),
        }))
    }
}

impl<S, B, RB> ResponseFuture<S, B>
where
    S: Service<Request<Upload<B>>, Response = Response<RB>, Error = Infallible>,
{
    fn poll_outcome(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RB>, Refusal>> {
        let mut this = self.project();
        let record = this.record.as_mut().expect("polled after it was ready");
        if let Some(refusal) = this.refusal.take() {
            return Poll::Ready(Err(refusal));
        }
        if let Some(wait) = this.wait {
            record.admit(ready!(wait.as_mut().poll(cx))?);
            *this.wait = None;
        }
        let work = this
            .work
            .as_mut()
            .as_pin_mut()
            .expect("taken with the record");
        let polled = rescue::caught(record.context(), record.route(), || work.poll(cx))?;
        if let Poll::Ready(Ok(response)) = polled {
            return Poll::Ready(Ok(response));
        }
        if this.timer.is_none() {
            let deadline = record.context().deadline().instant();
            this.timer.set(Some(sleep_until(deadline)));
        }
        let timer = this.timer.as_pin_mut().expect("it was just set");
        ready!(timer.poll(cx));
        Poll::Ready(Err(Refusal::OutOfTime))
    }
}

/// The handler's own answer.
fn finished<RB: Body>(response: Response<RB>, record: Record) -> Response<ResponseBody<RB>> {
    let (mut parts, body) = response.into_parts();
    let text = match record.protocol() {
        Protocol::Http => problem::render(&mut parts, record.context()),
        Protocol::Grpc => None,
    };
    let response = Response::from_parts(parts, ());
    match text {
        Some(text) => written(response, text, record),
        None => sent(response, record, |record| ResponseBody::of(body, record)),
    }
}

/// Our own answer in its place.
fn refused<RB: Body>(refusal: Refusal, mut record: Record) -> Response<ResponseBody<RB>> {
    record.refuse(refusal);
    let (parts, text) = refusal
        .answer(record.protocol(), record.context())
        .into_parts();
    written(Response::from_parts(parts, ()), text, record)
}

fn written<RB: Body>(
    response: Response<()>,
    text: Bytes,
    record: Record,
) -> Response<ResponseBody<RB>> {
    // An answer to HEAD has the head of one with a body, and none.
    let text = if record.verb() == Verb::of(&Method::HEAD) {
        Bytes::new()
    } else {
        text
    };
    sent(response, record, |record| ResponseBody::text(text, record))
}

/// What every answer has, whoever made it.
fn sent<RB: Body>(
    mut response: Response<()>,
    mut record: Record,
    body: impl FnOnce(Record) -> ResponseBody<RB>,
) -> Response<ResponseBody<RB>> {
    identify(&mut response, &record);
    record.head(response.status(), response.headers());
    response.map(|()| body(record))
}

fn identify(response: &mut Response<()>, record: &Record) {
    let context = record.context();
    let request_id = context.request_id().header_value().clone();
    let trace_id = HeaderValue::try_from(context.trace_id().to_string());
    let trace_id = trace_id.expect("hex digits are a header value");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    headers.insert(TRACE_ID, trace_id);
}

#[cfg(test)]
mod tests;
