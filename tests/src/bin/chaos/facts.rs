//! What is known at the end: what the customers were told, and what the stores, the ledger and the queue hold.

use std::collections::BTreeMap;

/// Pieces by sku.
pub(crate) type Lines = BTreeMap<String, i64>;

/// Everything that the invariants are about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) customers: Vec<Told>,
    pub(crate) orders: Vec<Order>,
    pub(crate) keys: Vec<Key>,
    pub(crate) outbox: Vec<Message>,
    pub(crate) ledger: Vec<Movement>,
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) products: Vec<Product>,
    /// Pieces of each product at the start.
    pub(crate) seed_stock: i64,
    /// Messages in the queue.
    pub(crate) queued: u64,
    /// Bodies of the dead letters.
    pub(crate) dead: Vec<String>,
    /// Bodies of the poison that the queue has confirmed.
    pub(crate) poison: Vec<String>,
}

/// What a customer did and was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) number: u32,
    pub(crate) key: String,
    pub(crate) lines: Lines,
    /// Its payment token is one that is good for money.
    pub(crate) can_pay: bool,
    /// With which it may be refused for good.
    pub(crate) refusals: Vec<u16>,
    pub(crate) outcome: Outcome,
    pub(crate) cancel: Option<Cancel>,
    /// Further answers to the same request.
    pub(crate) again: Vec<Outcome>,
    /// Answers that no customer should get.
    pub(crate) odd: Vec<String>,
    /// Of its session.
    pub(crate) cookie: Option<String>,
}

/// An answer to an order, as Jepsen calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Placed: its id.
    Ok(String),
    /// Refused for good, with this status.
    Fail(u16),
    /// Nobody said what became of it.
    Info,
    /// Never sent: there was no cart to order from.
    NotSent,
}

/// What was answered to the wish to take the order back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    Done,
    TooLate,
    Unknown,
}

/// A row of `orders.orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) step: String,
    pub(crate) visible: bool,
    pub(crate) lines: Lines,
    pub(crate) currency: String,
    pub(crate) total: i64,
    pub(crate) charge_key: String,
    /// Whose it is, by its trace.
    pub(crate) customer: Option<u32>,
    /// What is left to do: release, refund, cancel.
    pub(crate) due: Vec<&'static str>,
    /// The message that had it fulfilled.
    pub(crate) fulfilled_by: Option<String>,
}

impl Order {
    /// It was paid for at some time.
    pub(crate) fn was_confirmed(&self) -> bool {
        ["confirmed", "fulfilled", "cancelled"].contains(&self.status.as_str())
    }

    /// It is paid for.
    pub(crate) fn is_confirmed(&self) -> bool {
        ["confirmed", "fulfilled"].contains(&self.status.as_str())
    }
}

/// A row of `orders.idempotency_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) order: String,
    pub(crate) is_final: bool,
}

/// A row of `orders.outbox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) order: String,
    pub(crate) published: bool,
}

/// A row of `payments.ledger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) key: String,
    pub(crate) is_refund: bool,
    pub(crate) currency: String,
    pub(crate) amount: i64,
}

impl Movement {
    /// As the shop's balance sees it.
    pub(crate) fn signed(&self) -> i64 {
        if self.is_refund {
            -self.amount
        } else {
            self.amount
        }
    }
}

/// A row of `inventory.reservation` with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) order: String,
    pub(crate) state: String,
    /// The message that sold it.
    pub(crate) committed_by: Option<String>,
    pub(crate) lines: Lines,
}

/// A row of `inventory.product`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) available: i64,
}
