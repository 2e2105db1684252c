//! What can go wrong, by what the caller can do about it, and the one mapping to a gRPC status.

use tonic::{Code, Status};

use crate::{
    charge::{Invalid, Refusal},
    provider,
};

/// Why a call was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Provider(#[from] provider::Error),
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
            Self::Refused(Refusal::KeyReused) => Code::AlreadyExists,
            Self::Refused(Refusal::Voided) => Code::FailedPrecondition,
            Self::Provider(provider::Error::NoAnswer) => Code::DeadlineExceeded,
            Self::Provider(provider::Error::Store(error)) | Self::Store(error) => store_code(error),
            Self::UnknownState(_) | Self::Provider(provider::Error::UnknownState(_)) => {
                Code::Internal
            }
        }
    }

    /// What the caller is told: nothing of the inside.
    fn message(&self) -> String {
        match self {
            Self::Invalid(_) | Self::Refused(_) => self.to_string(),
            Self::Provider(_) | Self::Store(_) | Self::UnknownState(_) => match self.code() {
                Code::Internal => "internal error".to_owned(),
                _ => "the outcome is unknown: the provider or the store of payments did not answer"
                    .to_owned(),
            },
        }
    }
}

fn store_code(error: &mesh_store::Error) -> Code {
    match error {
        mesh_store::Error::Unavailable { .. } => Code::Unavailable,
        mesh_store::Error::DeadlineExceeded => Code::DeadlineExceeded,
        mesh_store::Error::Failed { .. } => Code::Internal,
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
        let provider = |error: sqlx::Error| Error::Provider(provider::Error::Store(error.into()));
        for (error, code) in [
            (Error::from(Invalid::Token), Code::InvalidArgument),
            (Refusal::KeyReused.into(), Code::AlreadyExists),
            (Refusal::Voided.into(), Code::FailedPrecondition),
            (provider::Error::NoAnswer.into(), Code::DeadlineExceeded),
            (
                mesh_store::Error::DeadlineExceeded.into(),
                Code::DeadlineExceeded,
            ),
            (away().into(), Code::Unavailable),
            (provider(away()), Code::Unavailable),
            (failed().into(), Code::Internal),
            (provider(failed()), Code::Internal),
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
