//! What can go wrong, by what the caller can do about it, and the one mapping to a gRPC status.

use mesh_client::Kind;
use tonic::{Code, Status};

use crate::{order, placement::Malformed};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a call was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("no such order")]
    NotFound,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the order is being worked on by another call")]
    InProgress,
    #[error("the outcome of the payment is not known yet")]
    PaymentOpen,
    #[error("the order is {0}")]
    TooLate(&'static str),
    #[error(transparent)]
    Peer(#[from] mesh_client::Error),
    #[error("{peer} broke its contract")]
    Contract {
        peer: &'static str,
        source: BoxError,
    },
    #[error(transparent)]
    Store(#[from] mesh_store::Error),
    #[error(transparent)]
    Queue(#[from] mesh_messaging::Error),
    /// A write of a reconciler that does not hold the lease any more.
    #[error("token {token} of the lease is not the newest")]
    Replaced { token: i64 },
    #[error(transparent)]
    OutOfPlace(#[from] order::OutOfPlace),
    #[error("cannot read {what} in the store")]
    Corrupt {
        what: &'static str,
        source: BoxError,
    },
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    pub(crate) fn contract(peer: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Contract { peer, source }
    }

    pub(crate) fn corrupt(what: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Corrupt { what, source }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::KeyReused => Code::AlreadyExists,
            Self::InProgress | Self::PaymentOpen => Code::Aborted,
            Self::TooLate(_) => Code::FailedPrecondition,
            Self::Peer(error) => peer_code(error),
            Self::Store(mesh_store::Error::Unavailable { .. }) | Self::Queue(_) => {
                Code::Unavailable
            }
            Self::Store(mesh_store::Error::DeadlineExceeded) => Code::DeadlineExceeded,
            Self::Store(mesh_store::Error::Failed { .. })
            | Self::Contract { .. }
            | Self::Replaced { .. }
            | Self::OutOfPlace(_)
            | Self::Corrupt { .. } => Code::Internal,
        }
    }

    /// What the caller is told: nothing of the inside.
    fn message(&self) -> String {
        match self {
            Self::Peer(error) => format!("{}: no answer to work with", error.peer),
            Self::Store(_) => "the store of orders did not answer".to_owned(),
            Self::Queue(_) => "the queue did not answer".to_owned(),
            Self::Contract { .. }
            | Self::Replaced { .. }
            | Self::OutOfPlace(_)
            | Self::Corrupt { .. } => "internal error".to_owned(),
            Self::Malformed(_)
            | Self::NotFound
            | Self::KeyReused
            | Self::InProgress
            | Self::PaymentOpen
            | Self::TooLate(_) => self.to_string(),
        }
    }
}

/// A peer that is away or out of time makes us so; what its contract does not name is a broken contract.
fn peer_code(error: &mesh_client::Error) -> Code {
    match (error.kind, error.code()) {
        (Kind::Timeout, _) => Code::DeadlineExceeded,
        (Kind::Unreachable, _) => Code::Unavailable,
        (Kind::Overloaded, _) => Code::ResourceExhausted,
        (
            Kind::NotStarted | Kind::Refused(_),
            code @ (Code::DeadlineExceeded | Code::Unavailable | Code::ResourceExhausted),
        ) => code,
        (Kind::NotStarted | Kind::Refused(_), _) => Code::Internal,
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(code: Code) -> Error {
        mesh_client::Error::new("payments", "/Charge", Status::new(code, "at 10.0.0.7")).into()
    }

    #[test]
    fn every_error_has_its_code() {
        for (error, code) in [
            (Error::from(Malformed::Key), Code::InvalidArgument),
            (Error::NotFound, Code::NotFound),
            (Error::KeyReused, Code::AlreadyExists),
            (Error::InProgress, Code::Aborted),
            (Error::PaymentOpen, Code::Aborted),
            (Error::TooLate("failed"), Code::FailedPrecondition),
            (peer(Code::DeadlineExceeded), Code::DeadlineExceeded),
            (peer(Code::Unavailable), Code::Unavailable),
            (peer(Code::ResourceExhausted), Code::ResourceExhausted),
            (peer(Code::FailedPrecondition), Code::Internal),
            (peer(Code::Unimplemented), Code::Internal),
            (
                mesh_store::Error::DeadlineExceeded.into(),
                Code::DeadlineExceeded,
            ),
            (Error::contract("inventory", "no outcome"), Code::Internal),
            (Error::corrupt("items", "not JSON"), Code::Internal),
        ] {
            assert_eq!(Status::from(error).code(), code);
        }
    }

    #[test]
    fn nothing_of_the_inside_is_told() {
        for error in [
            peer(Code::Unavailable),
            Error::corrupt("items", "not JSON: tok_ok"),
        ] {
            let message = Status::from(error).message().to_owned();
            assert!(
                !message.contains("10.0.0.7") && !message.contains("tok_ok"),
                "{message}"
            );
        }
    }
}
