//! Why a request failed, and the one mapping of that to HTTP.
//!
//! What a customer reads is the text of the [`Error`]; what a peer said stays in the log, except where its contract
//! says that the message is for the customer.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mesh_chassis::server::Problem;
use tonic::Code;

use crate::{peers::Rpc, session};

/// A peer's answer that its contract does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What the customer can do about it tells the variants apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Go elsewhere.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Say that the body is JSON.
    #[error("the body must be of the type application/json")]
    NotJson,
    /// Send less.
    #[error("the body is longer than 64 KiB")]
    TooLarge,
    /// Write the request as the documentation says.
    #[error("{0}")]
    BadRequest(String),
    /// Ask for something that makes sense.
    #[error("{0}")]
    Invalid(String),
    /// Pay with something else.
    #[error("the payment was declined")]
    Declined,
    /// Order less.
    #[error("too few pieces left of {}", .0.join(", "))]
    OutOfStock(Vec<String>),
    /// Ask again in a moment for the answer.
    #[error("the order is still being worked on")]
    InProgress,
    /// Nothing: the order is settled.
    #[error("the order is already fulfilled or failed")]
    TooLateToCancel,
    /// Try again later.
    #[error("a service that is needed is overloaded or away")]
    Unavailable,
    /// Try again.
    #[error("no answer in time")]
    OutOfTime,
    /// Nothing: a peer is at fault.
    #[error("a service that is needed gave an answer that makes no sense")]
    BadGateway,
    /// Nothing: we are at fault.
    #[error("the request could not be served")]
    Internal,
}

/// What is overloaded or still at work is usually done after so many seconds.
const RETRY_AFTER: u64 = 1;

impl Error {
    /// What it means that a call ended with this code. `message` is the peer's.
    ///
    /// Each code is either one that every RPC may answer, or one that the proto names at this RPC; all else breaks the
    /// peer's contract.
    pub(crate) fn of_call(rpc: Rpc, code: Code, message: &str) -> Self {
        match code {
            Code::Unavailable | Code::ResourceExhausted => Self::Unavailable,
            Code::DeadlineExceeded => Self::OutOfTime,
            Code::InvalidArgument => match rpc {
                Rpc::PlaceOrder => Self::Invalid(message.to_owned()),
                Rpc::GetOrder | Rpc::CancelOrder => Self::NotFound("order"),
                Rpc::ListOrders | Rpc::ListProducts => Self::unknown_page_token(),
                // Only too many skus are refused, and a cart holds fewer.
                Rpc::GetProducts => Self::Internal,
            },
            Code::NotFound => match rpc {
                Rpc::GetOrder | Rpc::CancelOrder => Self::NotFound("order"),
                Rpc::PlaceOrder | Rpc::ListOrders | Rpc::ListProducts | Rpc::GetProducts => {
                    Self::BadGateway
                }
            },
            Code::AlreadyExists => match rpc {
                Rpc::PlaceOrder => {
                    Self::Invalid("the idempotency key was used for another request".to_owned())
                }
                Rpc::GetOrder
                | Rpc::CancelOrder
                | Rpc::ListOrders
                | Rpc::ListProducts
                | Rpc::GetProducts => Self::BadGateway,
            },
            Code::Aborted => match rpc {
                Rpc::PlaceOrder | Rpc::CancelOrder => Self::InProgress,
                Rpc::GetOrder | Rpc::ListOrders | Rpc::ListProducts | Rpc::GetProducts => {
                    Self::BadGateway
                }
            },
            Code::FailedPrecondition => match rpc {
                Rpc::CancelOrder => Self::TooLateToCancel,
                Rpc::PlaceOrder
                | Rpc::GetOrder
                | Rpc::ListOrders
                | Rpc::ListProducts
                | Rpc::GetProducts => Self::BadGateway,
            },
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::PermissionDenied
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Self::BadGateway,
        }
    }

    pub(crate) fn unknown_page_token() -> Self {
        Self::BadRequest("page_token was not issued here".to_owned())
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::OutOfStock(_) | Self::InProgress | Self::TooLateToCancel => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn worth_repeating(&self) -> bool {
        matches!(self, Self::InProgress | Self::Unavailable)
    }
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Self {
        tracing::warn!(%error, "no answer from the session store");
        match error {
            session::Error::Away(_) => Self::Unavailable,
            session::Error::OutOfTime => Self::OutOfTime,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.status(), self.to_string());
        if self.worth_repeating() {
            problem.retry_after(RETRY_AFTER).into_response()
        } else {
            problem.into_response()
        }
    }
}
