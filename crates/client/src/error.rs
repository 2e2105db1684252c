//! What a call can fail with: which peer, which RPC, and what the caller can do about it.

use tonic::{Code, Status};

use crate::refusal;

/// A call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{peer}: {rpc}: {code:?}: {message}", code = .status.code(), message = .status.message())]
pub struct Error {
    /// The service called.
    pub peer: &'static str,
    /// The RPC's name.
    pub rpc: &'static str,
    /// What kind of failure it is.
    pub kind: Kind,
    status: Status,
}

/// Failures by what the caller can conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The peer has not seen the call: below the floor, too many in flight, or no connection. [`Error::code`] says which:
    /// `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED` or `UNAVAILABLE`.
    NotStarted,
    /// Out of time: the peer may have done the work.
    Timeout,
    /// The connection broke, or the peer (or a backing service of it) is away: it may have done the work.
    Unreachable,
    /// The peer is full and has not done the work.
    Overloaded,
    /// The peer answered with this code.
    Refused(Code),
}

impl Error {
    /// Of the status a stub gave.
    #[must_use]
    pub fn new(peer: &'static str, rpc: &'static str, status: Status) -> Self {
        let kind = match status.code() {
            _ if refusal::is_not_started(&status) => Kind::NotStarted,
            Code::DeadlineExceeded => Kind::Timeout,
            Code::Unavailable => Kind::Unreachable,
            Code::ResourceExhausted => Kind::Overloaded,
            code => Kind::Refused(code),
        };
        Self {
            peer,
            rpc,
            kind,
            status,
        }
    }

    /// The code that the caller sees.
    #[must_use]
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The peer's words. Not for strangers.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// The whole status, with its details.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_says_whether_the_peer_may_have_done_the_work() {
        for (status, kind) in [
            (
                refusal::not_started(Code::DeadlineExceeded, "x".into()),
                Kind::NotStarted,
            ),
            (
                refusal::not_started(Code::Unavailable, "x".into()),
                Kind::NotStarted,
            ),
            (refusal::timeout("x"), Kind::Timeout),
            (Status::unavailable("x"), Kind::Unreachable),
            (Status::resource_exhausted("x"), Kind::Overloaded),
            (
                Status::failed_precondition("x"),
                Kind::Refused(Code::FailedPrecondition),
            ),
        ] {
            assert_eq!(Error::new("inventory", "Reserve", status).kind, kind);
        }
        let error = Error::new("inventory", "Reserve", Status::not_found("no such order"));
        assert_eq!(
            error.to_string(),
            "inventory: Reserve: NotFound: no such order"
        );
    }
}
