//! Why a message was not fulfilled, by what is to be done with it.

use mesh_client::Kind;
use tonic::Code;

/// What went wrong with one try.
#[derive(Debug, Clone)]
pub(crate) enum Error {
    /// A peer, or what it needs, is away or full: hold the message until it is back.
    Away(mesh_client::Error),
    /// A peer answered, and with a fault of its own: it may be over soon, or never.
    Fault(mesh_client::Error),
    /// No later try can work.
    Refused(mesh_client::Error),
}

impl From<mesh_client::Error> for Error {
    fn from(error: mesh_client::Error) -> Self {
        match error.kind {
            Kind::NotStarted
            | Kind::Timeout
            | Kind::Unreachable
            | Kind::Overloaded
            // The peer's process ended in the middle of the call.
            | Kind::Refused(Code::Cancelled) => Self::Away(error),
            Kind::Refused(Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument) => {
                Self::Refused(error)
            }
            // Among them ABORTED, "ask again", and UNIMPLEMENTED, while versions are being replaced.
            Kind::Refused(_) => Self::Fault(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn only_what_no_later_try_can_change_is_refused_for_good() {
        let of = |code| {
            let error = mesh_client::Error::new("orders", "MarkFulfilled", Status::new(code, ""));
            match Error::from(error) {
                Error::Away(_) => "away",
                Error::Fault(_) => "fault",
                Error::Refused(_) => "refused",
            }
        };
        for (code, expected) in [
            (Code::Unavailable, "away"),
            (Code::DeadlineExceeded, "away"),
            (Code::ResourceExhausted, "away"),
            (Code::Cancelled, "away"),
            (Code::Aborted, "fault"),
            (Code::Internal, "fault"),
            (Code::Unknown, "fault"),
            (Code::Unimplemented, "fault"),
            (Code::NotFound, "refused"),
            (Code::FailedPrecondition, "refused"),
            (Code::InvalidArgument, "refused"),
        ] {
            assert_eq!(of(code), expected, "{code:?}");
        }
    }
}
