//! What can go wrong, by what the caller can do about it, and the one mapping to a gRPC status.

use tonic::{Code, Status};

use crate::reservation::{Invalid, Refusal};

/// Why a call was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] mesh_store::Error),
    #[error("the store holds the unknown state {0:?}")]
    UnknownState(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Refused(Refusal::Released) => Code::FailedPrecondition,
            Self::Refused(Refusal::NothingReserved) => Code::NotFound,
            Self::Store(mesh_store::Error::Unavailable { .. }) => Code::Unavailable,
            Self::Store(mesh_store::Error::DeadlineExceeded) => Code::DeadlineExceeded,
            Self::Store(mesh_store::Error::Failed { .. }) | Self::UnknownState(_) => Code::Internal,
        }
    }

    /// What the caller is told: nothing of the inside.
    fn message(&self) -> String {
        match self {
            Self::Invalid(_) | Self::Refused(_) => self.to_string(),
            Self::Store(mesh_store::Error::Unavailable { .. }) => {
                "the store of inventory is away".to_owned()
            }
            Self::Store(mesh_store::Error::DeadlineExceeded) => {
                "no time left for the store of inventory".to_owned()
            }
            Self::Store(mesh_store::Error::Failed { .. }) | Self::UnknownState(_) => {
                "internal error".to_owned()
            }
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.code();
        match code {
            Code::Internal => tracing::error!(%error, "our own fault"),
            Code::Unavailable => tracing::warn!(%error, "cannot serve now"),
            _ => {}
        }
        Self::new(code, error.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code_and_tells_nothing_of_the_inside() {
        let failed = || sqlx::Error::Decode("at 10.0.0.7".into());
        let away = || sqlx::Error::Io(std::io::Error::other("at 10.0.0.7"));
        for (error, code) in [
            (Error::from(Invalid::LineCount), Code::InvalidArgument),
            (Refusal::Released.into(), Code::FailedPrecondition),
            (Refusal::NothingReserved.into(), Code::NotFound),
            (
                mesh_store::Error::DeadlineExceeded.into(),
                Code::DeadlineExceeded,
            ),
            (away().into(), Code::Unavailable),
            (failed().into(), Code::Internal),
            (Error::UnknownState("10.0.0.7".to_owned()), Code::Internal),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            assert!(
                !status.message().is_empty() && !status.message().contains("10.0.0.7"),
                "{status}"
            );
        }
    }
}
