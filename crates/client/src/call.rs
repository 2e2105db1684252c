//! The one layer that each call pays for: declared, in time, with room, with headers, timed and recorded, in one future.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderName, Request, Response};
use mesh_context::{Deadline, RequestContext, format_grpc_timeout, header};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::Service;

use crate::{
    BoxError,
    body::CallBody,
    call_graph::Call,
    downstream::Shared,
    record::{self, Record},
    refusal::{not_started, timeout, transport},
};

/// The transport of one request's stub: made by [`Downstream::stub`](crate::Downstream::stub) and by nothing else.
#[derive(Debug, Clone)]
pub struct Calls<S = Channel> {
    channel: S,
    shared: Arc<Shared>,
    context: RequestContext,
}

impl<S> Calls<S> {
    pub(crate) fn new(channel: S, shared: Arc<Shared>, context: RequestContext) -> Self {
        Self {
            channel,
            shared,
            context,
        }
    }

    /// Everything that must hold before a call is made, and the call with its headers.
    fn admit(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Request<Body>, Deadline, Record), Status> {
        let shared = &self.shared;
        let (index, call) = self.declared(request.uri().path())?;
        let deadline = self
            .context
            .deadline()
            .outbound(call.cap.min(shared.timeout));
        let left = deadline.remaining();
        if left < call.floor || left.is_zero() {
            shared.metrics.not_started_deadline.inc();
            let message = format!(
                "{}: {left:?} left, {:?} needed",
                shared.peer.name, call.floor
            );
            let status = not_started(Code::DeadlineExceeded, message);
            return Err(self.refused(index, deadline, status, "deadline"));
        }
        let Some(place) = shared.bulkhead.enter(call) else {
            shared.metrics.not_started_bulkhead.inc();
            let message = format!("{}: too many calls in flight", shared.peer.name);
            let status = not_started(Code::ResourceExhausted, message);
            return Err(self.refused(index, deadline, status, "bulkhead"));
        };
        let span = self.context.child_span();
        self.context.write_headers(request.headers_mut(), span);
        let record = Record::start(shared, index, &self.context, span, deadline, place);
        Ok((request, deadline, record))
    }

    fn refused(
        &self,
        index: usize,
        deadline: Deadline,
        status: Status,
        reason: &'static str,
    ) -> Status {
        record::refused(
            &self.shared,
            index,
            &self.context,
            deadline,
            &status,
            reason,
        );
        status
    }

    fn declared(&self, path: &str) -> Result<(usize, &'static Call), Status> {
        let calls = self.shared.peer.calls;
        let index = calls.iter().position(|call| call.rpc == path);
        index.map(|index| (index, &calls[index])).ok_or_else(|| {
            let message = format!(
                "{}: {path} is not among the declared calls",
                self.shared.peer.name
            );
            not_started(Code::Internal, message)
        })
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<CallBody>;
    type Error = Status;
    type Future = CallFuture<S>;

    /// Always ready: waiting for the connection is part of the call and counts against its deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture<S> {
        match self.admit(request) {
            Err(status) => CallFuture::Refused {
                status: Some(status),
            },
            Ok((request, deadline, record)) => CallFuture::Sent {
                channel: self.channel.clone(),
                request: Some(request),
                response: None,
                timer: sleep_until(deadline.instant()),
                deadline,
                record: Some(record),
                peer: self.shared.peer.name,
            },
        }
    }
}

pin_project! {
    /// A call until its response's headers; the body carries on from there.
    #[project = Projected]
    pub enum CallFuture<S: Service<Request<Body>>> {
        Refused { status: Option<Status> },
        Sent {
            channel: S,
            request: Option<Request<Body>>,
            #[pin]
            response: Option<S::Future>,
            #[pin]
            timer: Sleep,
            deadline: Deadline,
            record: Option<Record>,
            peer: &'static str,
        },
    }
}

impl<S: Service<Request<Body>>> fmt::Debug for CallFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

impl<S> Future for CallFuture<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<CallBody>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { status } => Poll::Ready(Err(status
                .take()
                .expect("a future is not polled after it is ready"))),
            Projected::Sent {
                channel,
                request,
                mut response,
                timer,
                deadline,
                record,
                peer,
            } => {
                let answered = poll_answer(cx, channel, request, &mut response, *deadline);
                // The timer is looked at only while the answer is not there: most calls never arm it.
                let outcome = match answered {
                    Poll::Ready(Ok(response)) => Ok(response),
                    Poll::Ready(Err(error)) => Err(transport(peer, error.into(), *deadline)),
                    Poll::Pending => {
                        ready!(timer.poll(cx));
                        Err(timeout(peer))
                    }
                };
                let mut record = record
                    .take()
                    .expect("a future is not polled after it is ready");
                Poll::Ready(match outcome {
                    Ok(response) => Ok(CallBody::wrap(response, *deadline, record, peer)),
                    Err(status) => {
                        record.fail(&status);
                        Err(status)
                    }
                })
            }
        }
    }
}

/// Waits for the connection, sends, waits for the headers. `grpc-timeout` is what is left when the request is handed over.
fn poll_answer<S>(
    cx: &mut Context<'_>,
    channel: &mut S,
    request: &mut Option<Request<Body>>,
    response: &mut Pin<&mut Option<S::Future>>,
    deadline: Deadline,
) -> Poll<Result<Response<Body>, S::Error>>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    if request.is_some() {
        ready!(channel.poll_ready(cx))?;
        let mut request = request.take().expect("it was there a line ago");
        let timeout = format_grpc_timeout(deadline.remaining());
        request
            .headers_mut()
            .insert(HeaderName::from_static(header::GRPC_TIMEOUT), timeout);
        response.set(Some(channel.call(request)));
    }
    response
        .as_mut()
        .as_pin_mut()
        .expect("it is set once the request is sent")
        .poll(cx)
}

#[cfg(test)]
mod tests;
