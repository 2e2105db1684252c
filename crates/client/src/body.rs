//! The body of an answer: under the deadline to its end, where the gRPC status is read and the call recorded.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use mesh_context::Deadline;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

use crate::{
    record::Record,
    refusal::{broken, settled, timeout},
};

pin_project! {
    /// A peer's answer, which ends with `DEADLINE_EXCEEDED` when it takes too long.
    #[derive(Debug)]
    pub struct CallBody {
        #[pin]
        inner: Body,
        #[pin]
        timer: Sleep,
        deadline: Deadline,
        record: Record,
        peer: &'static str,
        finished: bool,
    }
}

impl CallBody {
    /// Takes over from the call: an answer that is complete with its headers is recorded here and now.
    pub(crate) fn wrap(
        response: Response<Body>,
        deadline: Deadline,
        mut record: Record,
        peer: &'static str,
    ) -> Response<Self> {
        let (mut parts, inner) = response.into_parts();
        let status = settle(&mut parts.headers, deadline);
        if let Some((code, message)) = &status {
            record.end(*code, message);
        } else if parts.status != StatusCode::OK {
            // A proxy's answer, not the peer's.
            record.end(code_of_http(parts.status), "");
        }
        let finished = status.is_some();
        let timer = sleep_until(deadline.instant());
        Response::from_parts(
            parts,
            Self {
                inner,
                timer,
                deadline,
                record,
                peer,
                finished,
            },
        )
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        let Poll::Ready(frame) = this.inner.as_mut().poll_frame(cx) else {
            if !*this.finished {
                ready!(this.timer.poll(cx));
                *this.finished = true;
                let status = timeout(this.peer);
                this.record.end(status.code(), status.message());
                return Poll::Ready(Some(Err(status)));
            }
            return Poll::Pending;
        };
        Poll::Ready(match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    *this.finished = true;
                    let (code, message) =
                        settle(trailers, *this.deadline).unwrap_or((Code::Unknown, String::new()));
                    this.record.end(code, &message);
                }
                Some(Ok(frame))
            }
            Some(Err(status)) => {
                *this.finished = true;
                let code = broken(status.code(), *this.deadline);
                let status = Status::new(code, format!("{}: {}", this.peer, status.message()));
                this.record.end(code, status.message());
                Some(Err(status))
            }
            None => {
                *this.finished = true;
                this.record
                    .end(Code::Unknown, "the answer ended without a status");
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads the gRPC status out of headers or trailers, if there is one, and writes back the code that goes up.
fn settle(headers: &mut HeaderMap, deadline: Deadline) -> Option<(Code, String)> {
    let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
    if code == Code::Ok {
        return Some((code, String::new()));
    }
    let message = headers
        .get(Status::GRPC_MESSAGE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // Only looked into for Envoy's words, in which percent-encoding changes nothing but the blanks.
    let message = message.unwrap_or_default().replace("%20", " ");
    let upward = settled(code, &message, deadline);
    if upward != code {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(i32::from(upward)));
    }
    Some((upward, message))
}

/// The code gRPC infers from a proxy's HTTP status:
/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>.
fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}
