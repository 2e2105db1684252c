//! Where tests have orders die: see `mesh_chassis::crash_point`.

use crate::order::{Record, Status, Step};

/// All of them, in the order of an order's life.
pub(crate) const ALL: &[&str] = &[
    // Placing.
    "orders.claim.before",
    "orders.reserve.before",
    "orders.reserve.after",
    "orders.reserved.before",
    "orders.reserved.after",
    "orders.charge.before",
    "orders.charge.after",
    "orders.get_charge.after",
    "orders.unknown.before",
    "orders.unknown.after",
    "orders.confirm.before",
    "orders.confirm.after",
    "orders.fail.before",
    "orders.fail.after",
    "orders.release.after",
    // The outbox.
    "orders.take.before",
    "orders.publish.before",
    "orders.publish.after",
    "orders.mark.before",
    "orders.mark.after",
    // Fulfilling.
    "orders.fulfil.before",
    "orders.fulfil.after",
    // Cancelling.
    "orders.cancel_wish.after",
    "orders.cancel.before",
    "orders.cancel.after",
    "orders.refund.after",
    // Reconciling.
    "orders.reconcile.get_charge.after",
    "orders.reconcile.confirm.before",
    "orders.reconcile.confirm.after",
    "orders.reconcile.give_up.before",
    "orders.reconcile.give_up.after",
    "orders.reconcile.void.after",
    "orders.reconcile.fail.before",
    "orders.reconcile.fail.after",
    "orders.reconcile.release.after",
    "orders.reconcile.cancel.before",
    "orders.reconcile.cancel.after",
    "orders.reconcile.refund.after",
];

/// Before and after it is recorded where an order being placed has got to.
pub(crate) fn of_attempt(record: &Record) -> [&'static str; 2] {
    match (record.order.status, record.step) {
        (Status::Pending, Step::Reserve | Step::Charge) => {
            ["orders.reserved.before", "orders.reserved.after"]
        }
        (Status::Pending, _) => ["orders.unknown.before", "orders.unknown.after"],
        (Status::Failed, _) => ["orders.fail.before", "orders.fail.after"],
        (Status::Confirmed | Status::Fulfilled | Status::Cancelled, _) => {
            ["orders.confirm.before", "orders.confirm.after"]
        }
    }
}

/// The same of one that the reconciler brings to its end.
pub(crate) fn of_reconciler(record: &Record) -> [&'static str; 2] {
    match record.order.status {
        Status::Pending => [
            "orders.reconcile.give_up.before",
            "orders.reconcile.give_up.after",
        ],
        Status::Failed => [
            "orders.reconcile.fail.before",
            "orders.reconcile.fail.after",
        ],
        Status::Confirmed | Status::Fulfilled | Status::Cancelled => [
            "orders.reconcile.confirm.before",
            "orders.reconcile.confirm.after",
        ],
    }
}
