//! The answers a handler did not give: its time was up, the process was full, it panicked, or the request was never its.
//!
//! gRPC gets a status without a body, HTTP a problem. `CANCELLED` is never among them: proxies retry it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use mesh_context::RequestContext;
use tonic::{Code, Status};

use super::{
    problem::{self, Problem},
    request::Protocol,
};

/// What a shed caller is asked to wait, in seconds.
const RETRY_AFTER: u64 = 1;

/// Why there is no answer of the handler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request's time is up.
    OutOfTime,
    /// The process has no room.
    Full,
    /// The handler panicked.
    Panicked,
    /// The request does not say whom it is for, or says it twice.
    Host,
    /// It cannot be read as HTTP/1, with this status.
    Unreadable(StatusCode),
}

impl Refusal {
    /// For gRPC, in the head or in trailers.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::OutOfTime => Status::new(Code::DeadlineExceeded, "out of time"),
            Self::Full => Status::new(Code::ResourceExhausted, "too many requests in flight"),
            Self::Panicked => Status::new(Code::Internal, "internal error"),
            Self::Host => Status::new(Code::InvalidArgument, "no host, or more than one"),
            Self::Unreadable(_) => Status::new(Code::InvalidArgument, "this cannot be read"),
        }
    }

    /// For gRPC, once the head is out.
    pub(crate) fn trailers(self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let added = self.status().add_header(&mut trailers);
        added.expect("the messages above are plain text");
        trailers
    }

    fn problem(self) -> Problem {
        match self {
            Self::OutOfTime => Problem::new(StatusCode::GATEWAY_TIMEOUT, "out of time"),
            Self::Full => {
                let full = "too many requests in flight";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, full).retry_after(RETRY_AFTER)
            }
            Self::Panicked => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
            Self::Host => Problem::new(StatusCode::BAD_REQUEST, "no host, or more than one"),
            Self::Unreadable(status) => Problem::new(status, unreadable(status)),
        }
    }

    /// The whole answer.
    pub(crate) fn answer(self, protocol: Protocol, context: &RequestContext) -> Response<Bytes> {
        match protocol {
            Protocol::Grpc => self.status().into_http(),
            Protocol::Http => problem::answer(&self.problem(), context),
        }
    }
}

fn unreadable(status: StatusCode) -> &'static str {
    match status {
        StatusCode::URI_TOO_LONG => "the address is too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the headers are longer than 16 KiB, or too many"
        }
        _ => "this is no HTTP request",
    }
}

/// Runs code that is not ours; a panic in it is logged and becomes a refusal. What panicked must be dropped.
pub(crate) fn caught<T>(
    context: &RequestContext,
    route: &str,
    run: impl FnOnce() -> T,
) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        tracing::error!(
            trace_id = %context.trace_id(),
            span_id = %context.span_id(),
            request_id = %context.request_id(),
            route,
            panic = said(&*panic),
            "a handler panicked"
        );
        Refusal::Panicked
    })
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_context::{Policy, accept};

    use super::*;

    fn context() -> RequestContext {
        accept(&HeaderMap::new(), &Policy::inside(Duration::from_secs(1))).context
    }

    #[test]
    fn each_refusal_has_its_code_in_each_protocol() {
        let context = context();
        for (refusal, code, status) in [
            (Refusal::OutOfTime, Code::DeadlineExceeded, 504),
            (Refusal::Full, Code::ResourceExhausted, 503),
            (Refusal::Panicked, Code::Internal, 500),
            (Refusal::Host, Code::InvalidArgument, 400),
        ] {
            let grpc = refusal.answer(Protocol::Grpc, &context);
            let number = (code as i32).to_string();
            assert_eq!(grpc.status(), 200);
            assert_eq!(
                grpc.headers()["grpc-status"],
                number.as_str(),
                "{refusal:?}"
            );
            assert!(grpc.body().is_empty());
            assert_eq!(refusal.trailers()["grpc-status"], number.as_str());

            let http = refusal.answer(Protocol::Http, &context);
            assert_eq!(http.status(), status, "{refusal:?}");
            assert_eq!(http.headers()["content-type"], "application/problem+json");
            let retry = http
                .headers()
                .get("retry-after")
                .map(|v| v.to_str().unwrap());
            assert_eq!(retry, (refusal == Refusal::Full).then_some("1"));
        }
    }

    #[test]
    fn a_panic_is_caught_whatever_it_carries() {
        let context = context();
        let caught = |run: fn()| caught(&context, "/", run);
        assert_eq!(caught(|| ()), Ok(()));
        assert_eq!(caught(|| panic!("plain")), Err(Refusal::Panicked));
        assert_eq!(caught(|| std::panic::panic_any(7)), Err(Refusal::Panicked));
        assert_eq!(said(&"text"), "text");
        assert_eq!(said(&"text".to_owned()), "text");
        assert_eq!(said(&7), "not a text");
    }
}
