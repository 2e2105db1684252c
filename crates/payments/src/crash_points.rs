//! Where tests have payments die: see `mesh_chassis::crash_point`.

use crate::charge::State;

/// All of them: before and after each transaction, of payments and of the provider.
pub(crate) const ALL: &[&str] = &[
    "payments.start.before",
    "payments.start.after",
    "payments.take.before",
    "payments.take.after",
    "payments.charged.before",
    "payments.charged.after",
    "payments.void.before",
    "payments.void.after",
    "payments.give_back.before",
    "payments.give_back.after",
    "payments.refunded.before",
    "payments.refunded.after",
];

/// Before and after the record of a key is made.
pub(crate) fn of_start(state: State) -> [&'static str; 2] {
    match state {
        State::Voided => ["payments.void.before", "payments.void.after"],
        State::Started | State::Charged | State::Declined | State::Refunded => {
            ["payments.start.before", "payments.start.after"]
        }
    }
}

/// Before and after it is recorded what the provider did.
pub(crate) fn of_settle(state: State) -> [&'static str; 2] {
    match state {
        State::Refunded | State::Voided => ["payments.refunded.before", "payments.refunded.after"],
        State::Started | State::Charged | State::Declined => {
            ["payments.charged.before", "payments.charged.after"]
        }
    }
}
