//! What an answer about a charge proves.
//!
//! Money may have moved whenever a charge may have reached the payments service and its answer is not a plain one. Only
//! what shows that the charge was never begun lets the attempt end in an error; everything else leaves the order
//! pending.

use mesh_client::{Error, Kind};
use tonic::Code;

/// What payments says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChargeState {
    /// No money was taken, as far as is known now.
    None,
    Charged,
    Declined,
    /// Given back, or voided: no money is taken under this key and none will be.
    Returned,
}

/// What became of a payment.
#[derive(Debug)]
pub(crate) enum Payment {
    Taken,
    /// Not taken, and it never will be.
    Refused,
    /// Not taken: the payment token does not exist.
    TokenUnknown,
    /// Not begun: it may be tried again.
    NotBegun(Error),
    /// Taken or not.
    Unknown(Option<Error>),
}

impl Payment {
    /// What the answer to `Charge` proves.
    pub(crate) fn of_charge(answer: Result<ChargeState, Error>) -> Self {
        match answer {
            Ok(ChargeState::Charged) => Self::Taken,
            Ok(ChargeState::Declined | ChargeState::Returned) => Self::Refused,
            // No contract says so: it proves nothing.
            Ok(ChargeState::None) => Self::Unknown(None),
            Err(error) => Self::of_failure(error),
        }
    }

    /// What payments has recorded; nothing when it knows of no money taken.
    pub(crate) fn of_record(state: ChargeState) -> Option<Self> {
        match state {
            ChargeState::None => None,
            ChargeState::Charged => Some(Self::Taken),
            ChargeState::Declined | ChargeState::Returned => Some(Self::Refused),
        }
    }

    fn of_failure(error: Error) -> Self {
        match error.kind {
            Kind::NotStarted | Kind::Overloaded => Self::NotBegun(error),
            Kind::Timeout | Kind::Unreachable => Self::Unknown(Some(error)),
            Kind::Refused(code) => match code {
                Code::InvalidArgument => Self::TokenUnknown,
                Code::FailedPrecondition => Self::Refused,
                // Turned away at the door.
                Code::ResourceExhausted
                | Code::Unimplemented
                | Code::PermissionDenied
                | Code::Unauthenticated => Self::NotBegun(error),
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::NotFound
                | Code::AlreadyExists
                | Code::Aborted
                | Code::OutOfRange
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => Self::Unknown(Some(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    fn failed(code: Code) -> &'static str {
        let status = Status::new(code, "");
        name(&Payment::of_charge(Err(Error::new(
            "payments", "/Charge", status,
        ))))
    }

    fn name(payment: &Payment) -> &'static str {
        match payment {
            Payment::Taken => "taken",
            Payment::Refused => "refused",
            Payment::TokenUnknown => "token unknown",
            Payment::NotBegun(_) => "not begun",
            Payment::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn an_answer_to_charge_proves_what_it_says() {
        for (state, expected, recorded) in [
            (ChargeState::Charged, "taken", Some("taken")),
            (ChargeState::Declined, "refused", Some("refused")),
            (ChargeState::Returned, "refused", Some("refused")),
            (ChargeState::None, "unknown", None),
        ] {
            assert_eq!(name(&Payment::of_charge(Ok(state))), expected, "{state:?}");
            let found = Payment::of_record(state).as_ref().map(name);
            assert_eq!(found, recorded, "{state:?}");
        }
    }

    #[test]
    fn a_failed_charge_proves_nothing_unless_it_was_turned_away() {
        for (expected, codes) in [
            ("token unknown", &[Code::InvalidArgument][..]),
            ("refused", &[Code::FailedPrecondition]),
            (
                "not begun",
                &[
                    Code::ResourceExhausted,
                    Code::Unimplemented,
                    Code::PermissionDenied,
                    Code::Unauthenticated,
                ],
            ),
            (
                "unknown",
                &[
                    Code::Cancelled,
                    Code::Unknown,
                    Code::DeadlineExceeded,
                    Code::NotFound,
                    Code::AlreadyExists,
                    Code::Aborted,
                    Code::OutOfRange,
                    Code::Internal,
                    Code::Unavailable,
                    Code::DataLoss,
                ],
            ),
        ] {
            for code in codes {
                assert_eq!(failed(*code), expected, "{code:?}");
            }
        }
    }
}
