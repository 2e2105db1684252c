//! The answer's body on its way out. It carries the record: the request ends with its last frame.
//!
//! The deadline and the rescue from panics cover the body too. gRPC then still gets a status, in trailers; HTTP can only
//! be broken off, which is how a caller knows that an answer is not whole.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::{
    record::Record,
    request::Protocol,
    rescue::{self, Refusal},
};
use crate::BoxError;

pin_project! {
    /// The handler's body, or a short text of our own.
    pub(crate) struct ResponseBody<B> {
        #[pin]
        body: Option<B>,
        text: Bytes,
        // The deadline; armed when there is something to wait for.
        #[pin]
        timer: Option<Sleep>,
        // Closed with the last frame; dropped open when the caller goes before.
        record: Option<Record>,
    }
}

impl<B: Body> ResponseBody<B> {
    /// The handler's.
    pub(crate) fn of(body: B, record: Record) -> Self {
        if body.is_end_stream() {
            return Self::text(Bytes::new(), record);
        }
        Self {
            body: Some(body),
            text: Bytes::new(),
            timer: None,
            record: Some(record),
        }
    }

    /// Our own; nothing if it is empty.
    pub(crate) fn text(text: Bytes, record: Record) -> Self {
        // It is here already: nothing can go wrong with it that a record could tell.
        record.close();
        Self {
            body: None,
            text,
            timer: None,
            record: None,
        }
    }
}

type Next = Option<Result<Frame<Bytes>, BoxError>>;

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let polled = self.as_mut().poll_body(cx);
        let mut this = self.project();
        let next = match ready!(polled) {
            Ok(next) => next,
            Err(refusal) => {
                this.body.set(None);
                let record = this.record.as_mut();
                record.and_then(|record| broken_off(refusal, record))
            }
        };
        let ended = match &next {
            Some(Ok(frame)) => {
                if let (Some(trailers), Some(record)) = (frame.trailers_ref(), this.record.as_mut())
                {
                    record.trailers(trailers);
                }
                frame.is_trailers()
                    || this
                        .body
                        .as_ref()
                        .as_pin_ref()
                        .is_none_or(|body| body.is_end_stream())
            }
            Some(Err(_)) | None => true,
        };
        if ended {
            this.body.set(None);
            if let Some(record) = this.record.take() {
                record.close();
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(self.text.len() as u64),
        }
    }
}

impl<B> ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Next, Refusal>> {
        let mut this = self.project();
        let (Some(body), Some(record)) = (this.body.as_pin_mut(), this.record.as_ref()) else {
            let text = std::mem::take(this.text);
            let frame = (!text.is_empty()).then(|| Ok(Frame::data(text)));
            return Poll::Ready(Ok(frame));
        };
        let polled = rescue::caught(record.context(), record.route(), || body.poll_frame(cx))?;
        if let Poll::Ready(next) = polled {
            return Poll::Ready(Ok(next.map(|frame| frame.map_err(Into::into))));
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

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// The last frame of an answer that cannot be finished.
fn broken_off(refusal: Refusal, record: &mut Record) -> Next {
    record.refuse(refusal);
    Some(match record.protocol() {
        Protocol::Grpc => Ok(Frame::trailers(refusal.trailers())),
        Protocol::Http => Err(refusal.status().into()),
    })
}

#[cfg(test)]
mod tests;
