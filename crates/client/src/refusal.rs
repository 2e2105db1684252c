//! Calls that are not made, and what goes up when one fails.

use std::{fmt, sync::Arc};

use mesh_context::Deadline;
use tonic::{Code, ConnectError, Status};

use crate::BoxError;

/// What Envoy says, with `UNAVAILABLE`, when its own timer fires (not `DEADLINE_EXCEEDED`: facts of Envoy 1.38 to 1.40).
const ENVOY_TIMEOUT: &str = "upstream request timeout";

/// Source of a status that says: the peer has not seen this call.
#[derive(Debug)]
pub(crate) struct NotStarted;

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call was not started")
    }
}

impl std::error::Error for NotStarted {}

/// A status of a call that never left.
pub(crate) fn not_started(code: Code, message: String) -> Status {
    let mut status = Status::new(code, message);
    status.set_source(Arc::new(NotStarted));
    status
}

/// Whether a status says that the peer has not seen the call.
pub(crate) fn is_not_started(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| source.is::<NotStarted>())
}

/// The code that goes up for the code that came. A caller that hears `UNAVAILABLE` or `CANCELLED` for a deadline is retried
/// by its own sidecar, and the whole subtree with it.
pub(crate) fn settled(code: Code, message: &str, deadline: Deadline) -> Code {
    match code {
        Code::Unavailable if message.contains(ENVOY_TIMEOUT) => Code::DeadlineExceeded,
        Code::Unavailable | Code::Cancelled if deadline.passed() => Code::DeadlineExceeded,
        code => code,
    }
}

/// A transport's error as a status: out of time, never connected, or broken on the way.
pub(crate) fn transport(peer: &str, error: BoxError, deadline: Deadline) -> Status {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    let mut connected = true;
    let mut reason = error.to_string();
    while let Some(error) = cause {
        connected &= !error.is::<ConnectError>();
        reason = error.to_string();
        cause = error.source();
    }
    if deadline.passed() {
        return timeout(peer);
    }
    if !connected {
        return not_started(
            Code::Unavailable,
            format!("{peer}: no connection: {reason}"),
        );
    }
    let code = broken(Status::from_error(error).code(), deadline);
    Status::new(code, format!("{peer}: connection broke: {reason}"))
}

/// The code of a stream or connection that broke on the way. None of these proves that the peer has not done the work, not
/// even HTTP/2's "enhance your calm", which tonic takes for `RESOURCE_EXHAUSTED`.
pub(crate) fn broken(code: Code, deadline: Deadline) -> Code {
    let code = match code {
        Code::Unknown | Code::Cancelled | Code::ResourceExhausted => Code::Unavailable,
        code => code,
    };
    settled(code, "", deadline)
}

/// The own timer fired.
pub(crate) fn timeout(peer: &str) -> Status {
    Status::deadline_exceeded(format!("{peer}: no answer within the deadline"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_proves_nothing() {
        let (open, gone) = (
            Deadline::after(Duration::from_secs(1)),
            Deadline::after(Duration::ZERO),
        );
        for code in [
            Code::Unknown,
            Code::Cancelled,
            Code::ResourceExhausted,
            Code::Unavailable,
        ] {
            assert_eq!(broken(code, open), Code::Unavailable, "{code:?}");
            assert_eq!(broken(code, gone), Code::DeadlineExceeded, "{code:?}");
        }
        assert_eq!(
            broken(Code::Internal, open),
            Code::Internal,
            "the peer broke the protocol"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_never_goes_up_as_something_a_sidecar_retries() {
        let (open, gone) = (
            Deadline::after(Duration::from_secs(1)),
            Deadline::after(Duration::ZERO),
        );
        for (code, message, deadline, expected) in [
            (
                Code::Unavailable,
                "upstream request timeout",
                open,
                Code::DeadlineExceeded,
            ),
            (Code::Unavailable, "draining", open, Code::Unavailable),
            (Code::Unavailable, "draining", gone, Code::DeadlineExceeded),
            (Code::Cancelled, "", open, Code::Cancelled),
            (Code::Cancelled, "", gone, Code::DeadlineExceeded),
            (Code::Internal, "", gone, Code::Internal),
            (Code::Ok, "", gone, Code::Ok),
        ] {
            assert_eq!(
                settled(code, message, deadline),
                expected,
                "{code:?} {message:?}"
            );
        }
    }
}
