//! An order and the rules of its life. No transport, no storage, no clock but the one passed in.
//!
//! ```text
//!  status     step      event             status     step     also
//!  pending    reserve   Reserved          pending    charge   priced, visible
//!  pending    reserve   OutOfStock        failed     done     visible, release due, token erased
//!  pending    charge    Charged           confirmed  done     token erased
//!  pending    charge    Refused           failed     done     release due, token erased
//!  pending    charge    TokenUnknown      failed     done     hidden, release due, token erased
//!  pending    charge    OutcomeUnknown    pending    settle
//!  pending    settle    as from charge
//!  pending    reserve   GivenUp           failed     done     hidden, release due, token erased
//!  pending    charge    GivenUp           pending    void     the same from settle
//!  pending    void      Refused           failed     done     release due, token erased
//!  pending    void      OutcomeUnknown    pending    void
//!  confirmed  done      StockReleased     cancelled  done     refund due
//!  confirmed  done      StockSold         fulfilled  done
//! ```

use std::{fmt, str::FromStr};

use mesh_config::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Timestamp, placement::Placement};

/// What amounts are in until the stock says otherwise.
const CURRENCY: &str = "EUR";

/// Names an order; cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct OrderId(Uuid);

/// A text that is not a UUID as we write it.
#[derive(Debug, thiserror::Error)]
#[error("not an order id: {0:?}")]
pub(crate) struct MalformedId(String);

impl OrderId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        Uuid::from_str(text)
            .map(Self)
            .ok()
            // Other ways to write the same UUID would be other names for one resource.
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| MalformedId(text.to_owned()))
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for OrderId {
    type Error = MalformedId;

    fn try_from(text: String) -> Result<Self, MalformedId> {
        text.parse()
    }
}

/// What the customer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Confirmed,
    Fulfilled,
    Cancelled,
    Failed,
}

/// What is to be done next to place the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Reserve,
    Charge,
    /// A charge was sent and its outcome is not known: ask before anything else.
    Settle,
    /// It is given up: nobody may charge for it any more, and what was charged goes back.
    Void,
    Done,
}

/// What moves an order on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Reserved,
    OutOfStock,
    Charged,
    /// Declined, or voided: no money was taken and none will be.
    Refused,
    /// The payments service has never heard of the payment token.
    TokenUnknown,
    OutcomeUnknown,
    /// Nobody came back for it.
    GivenUp,
    /// On its way to be cancelled, and nobody can fulfil it any more.
    StockReleased,
    /// It is fulfilled, and can be cancelled no more.
    StockSold,
}

/// What happened does not fit where the order is.
#[derive(Debug, thiserror::Error)]
#[error("order {order}: {event:?} cannot happen while {status:?}, {step:?}")]
pub(crate) struct OutOfPlace {
    order: OrderId,
    event: Event,
    status: Status,
    step: Step,
}

/// The prices of a reservation that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadPrices {
    #[error("reserved other lines than asked for")]
    OtherLines,
    #[error("priced in more than one currency")]
    Currencies,
    #[error("a price below zero, or a total that is too large")]
    Amount,
}

fn after(status: Status, step: Step, event: Event) -> Option<(Status, Step)> {
    match (status, step, event) {
        (Status::Pending, Step::Reserve, Event::Reserved) => Some((Status::Pending, Step::Charge)),
        (Status::Pending, Step::Reserve, Event::OutOfStock | Event::GivenUp)
        | (Status::Pending, Step::Void, Event::Refused)
        | (Status::Pending, Step::Charge | Step::Settle, Event::Refused | Event::TokenUnknown) => {
            Some((Status::Failed, Step::Done))
        }
        (Status::Pending, Step::Charge | Step::Settle, Event::Charged) => {
            Some((Status::Confirmed, Step::Done))
        }
        (Status::Pending, Step::Charge | Step::Settle, Event::OutcomeUnknown) => {
            Some((Status::Pending, Step::Settle))
        }
        (Status::Pending, Step::Charge | Step::Settle, Event::GivenUp)
        | (Status::Pending, Step::Void, Event::OutcomeUnknown) => {
            Some((Status::Pending, Step::Void))
        }
        (Status::Confirmed, Step::Done, Event::StockReleased) => {
            Some((Status::Cancelled, Step::Done))
        }
        (Status::Confirmed, Step::Done, Event::StockSold) => Some((Status::Fulfilled, Step::Done)),
        _ => None,
    }
}

/// So many pieces of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: i32,
}

/// A line with the price at the time of the reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricedLine {
    pub(crate) line: Line,
    pub(crate) currency: String,
    pub(crate) unit_price: i64,
}

/// A line of an order; amounts in the smallest unit of the order's currency, 0 before the stock answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) quantity: i32,
    pub(crate) unit_price: i64,
    pub(crate) total: i64,
}

/// What a customer sees of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) status: Status,
    pub(crate) items: Vec<Item>,
    pub(crate) currency: String,
    pub(crate) total: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// An order and what is needed to bring it to its end.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) order: Order,
    pub(crate) session: String,
    pub(crate) step: Step,
    /// A customer may know of it.
    pub(crate) visible: bool,
    pub(crate) charge_key: String,
    /// What the customer pays with, until the payment is settled.
    pub(crate) payment_token: Option<Secret>,
    /// Headers of the request that placed it, JSON.
    pub(crate) trace_headers: String,
    pub(crate) release_due_at: Option<Timestamp>,
    pub(crate) refund_due_at: Option<Timestamp>,
    pub(crate) cancel_requested_at: Option<Timestamp>,
}

impl Record {
    /// An order that was just asked for.
    pub(crate) fn new(
        id: OrderId,
        placement: &Placement,
        trace_headers: String,
        now: Timestamp,
    ) -> Self {
        let item = |line: &Line| Item {
            sku: line.sku.clone(),
            quantity: line.quantity,
            unit_price: 0,
            total: 0,
        };
        Self {
            order: Order {
                id,
                status: Status::Pending,
                items: placement.lines.iter().map(item).collect(),
                currency: CURRENCY.to_owned(),
                total: 0,
                created_at: now,
                updated_at: now,
            },
            session: placement.session.clone(),
            step: Step::Reserve,
            visible: false,
            charge_key: format!("{id}:charge:1"),
            payment_token: Some(placement.payment_token.clone()),
            trace_headers,
            release_due_at: None,
            refund_due_at: None,
            cancel_requested_at: None,
        }
    }

    /// What was asked for.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let line = |item: &Item| Line {
            sku: item.sku.clone(),
            quantity: item.quantity,
        };
        self.order.items.iter().map(line).collect()
    }

    /// Takes the prices of the reservation.
    ///
    /// # Errors
    /// Inventory answered with what was not asked for, or with amounts that cannot be added up; nothing changes.
    pub(crate) fn price(&mut self, lines: &[PricedLine]) -> Result<(), BadPrices> {
        let asked = self.lines();
        if lines.len() != asked.len() {
            return Err(BadPrices::OtherLines);
        }
        let currency = lines.first().map(|priced| &priced.currency);
        let currency = currency.ok_or(BadPrices::OtherLines)?;
        if lines.iter().any(|priced| priced.currency != *currency) {
            return Err(BadPrices::Currencies);
        }
        let priced = |line: &Line| lines.iter().find(|priced| priced.line == *line);
        let lines = asked.iter().map(priced).collect::<Option<Vec<_>>>();
        let lines = lines.ok_or(BadPrices::OtherLines)?;
        let items = lines.into_iter().map(item).collect::<Option<Vec<_>>>();
        let items = items.ok_or(BadPrices::Amount)?;
        let total = items
            .iter()
            .try_fold(0i64, |sum, item| sum.checked_add(item.total));
        self.order.total = total.ok_or(BadPrices::Amount)?;
        self.order.items = items;
        self.order.currency.clone_from(currency);
        Ok(())
    }

    /// Moves the order on; the table stands at the top of this file.
    ///
    /// # Errors
    /// The event does not fit where the order is; nothing changes.
    pub(crate) fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), OutOfPlace> {
        let (status, step) = after(self.order.status, self.step, event).ok_or(OutOfPlace {
            order: self.order.id,
            event,
            status: self.order.status,
            step: self.step,
        })?;
        if (status, step) != (self.order.status, self.step) {
            self.order.updated_at = now;
        }
        (self.order.status, self.step) = (status, step);
        match event {
            Event::Reserved => self.visible = true,
            Event::OutOfStock => {
                self.visible = true;
                self.release_due_at = Some(now);
            }
            Event::Refused => self.release_due_at = Some(now),
            Event::TokenUnknown => {
                self.visible = false;
                self.release_due_at = Some(now);
            }
            // Before the reservation it has not been visible.
            Event::GivenUp if step == Step::Done => self.release_due_at = Some(now),
            Event::StockReleased => {
                self.refund_due_at = Some(now);
                self.cancel_requested_at = None;
            }
            // A wish to cancel it came too late.
            Event::StockSold => self.cancel_requested_at = None,
            Event::Charged | Event::OutcomeUnknown | Event::GivenUp => {}
        }
        if step == Step::Done {
            self.payment_token = None;
        }
        Ok(())
    }
}

fn item(priced: &PricedLine) -> Option<Item> {
    let total = priced
        .unit_price
        .checked_mul(i64::from(priced.line.quantity))?;
    (priced.unit_price >= 0).then(|| Item {
        sku: priced.line.sku.clone(),
        quantity: priced.line.quantity,
        unit_price: priced.unit_price,
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUSES: [Status; 5] = [
        Status::Pending,
        Status::Confirmed,
        Status::Fulfilled,
        Status::Cancelled,
        Status::Failed,
    ];
    const STEPS: [Step; 5] = [
        Step::Reserve,
        Step::Charge,
        Step::Settle,
        Step::Void,
        Step::Done,
    ];
    const EVENTS: [Event; 9] = [
        Event::Reserved,
        Event::OutOfStock,
        Event::Charged,
        Event::Refused,
        Event::TokenUnknown,
        Event::OutcomeUnknown,
        Event::GivenUp,
        Event::StockReleased,
        Event::StockSold,
    ];

    fn record() -> Record {
        let lines = [("mug", 2), ("pen", 3)].map(|(sku, quantity)| Line {
            sku: sku.to_owned(),
            quantity,
        });
        let placement = Placement {
            key: "key".to_owned(),
            fingerprint: String::new(),
            session: "s".to_owned(),
            lines: lines.to_vec(),
            payment_token: Secret::new("tok_ok"),
        };
        Record::new(OrderId::random(), &placement, "{}".to_owned(), Timestamp(1))
    }

    fn priced(sku: &str, quantity: i32, currency: &str, unit_price: i64) -> PricedLine {
        PricedLine {
            line: Line {
                sku: sku.to_owned(),
                quantity,
            },
            currency: currency.to_owned(),
            unit_price,
        }
    }

    #[test]
    fn every_event_moves_an_order_as_the_table_says_and_no_other_way() {
        use Event::*;
        use Status::*;
        use Step::*;
        let table = [
            (Pending, Reserve, Reserved, Pending, Charge),
            (Pending, Reserve, OutOfStock, Failed, Done),
            (Pending, Charge, Charged, Confirmed, Done),
            (Pending, Charge, Refused, Failed, Done),
            (Pending, Charge, TokenUnknown, Failed, Done),
            (Pending, Charge, OutcomeUnknown, Pending, Settle),
            (Pending, Settle, Charged, Confirmed, Done),
            (Pending, Settle, Refused, Failed, Done),
            (Pending, Settle, TokenUnknown, Failed, Done),
            (Pending, Settle, OutcomeUnknown, Pending, Settle),
            (Pending, Reserve, GivenUp, Failed, Done),
            (Pending, Charge, GivenUp, Pending, Void),
            (Pending, Settle, GivenUp, Pending, Void),
            (Pending, Void, Refused, Failed, Done),
            (Pending, Void, OutcomeUnknown, Pending, Void),
            (Confirmed, Done, StockReleased, Cancelled, Done),
            (Confirmed, Done, StockSold, Fulfilled, Done),
        ];
        for status in STATUSES {
            for step in STEPS {
                for event in EVENTS {
                    let expected = table
                        .iter()
                        .find(|row| (row.0, row.1, row.2) == (status, step, event))
                        .map(|row| (row.3, row.4));
                    let mut record = record();
                    (record.order.status, record.step) = (status, step);
                    let moved = record.apply(event, Timestamp(2)).is_ok();
                    let found = moved.then_some((record.order.status, record.step));
                    assert_eq!(found, expected, "{event:?} at {status:?}, {step:?}");
                    let touched = record.order.updated_at == Timestamp(2);
                    let changed = found.is_some_and(|found| found != (status, step));
                    assert_eq!(touched, changed, "{event:?} at {status:?}, {step:?}");
                }
            }
        }
    }

    #[test]
    fn an_end_records_what_is_due_and_forgets_the_payment_token() {
        let now = Timestamp(2);
        for (events, visible, release, refund, token) in [
            (&[Event::Reserved][..], true, None, None, true),
            (&[Event::OutOfStock], true, Some(now), None, false),
            (&[Event::GivenUp], false, Some(now), None, false),
            (&[Event::Reserved, Event::GivenUp], true, None, None, true),
            (&[Event::Reserved, Event::Charged], true, None, None, false),
            (
                &[Event::Reserved, Event::Refused],
                true,
                Some(now),
                None,
                false,
            ),
            (
                &[Event::Reserved, Event::TokenUnknown],
                false,
                Some(now),
                None,
                false,
            ),
            (
                &[Event::Reserved, Event::OutcomeUnknown],
                true,
                None,
                None,
                true,
            ),
            (
                &[Event::Reserved, Event::Charged, Event::StockReleased],
                true,
                None,
                Some(now),
                false,
            ),
        ] {
            let mut record = record();
            assert!(
                !record.visible,
                "nothing is shown before the stock answered"
            );
            for event in events {
                record.apply(*event, now).unwrap();
            }
            let found = (
                record.visible,
                record.release_due_at,
                record.refund_due_at,
                record.payment_token.is_some(),
            );
            assert_eq!(found, (visible, release, refund, token), "{events:?}");
        }
    }

    #[test]
    fn prices_are_taken_from_the_reservation_and_added_up() {
        let mut record = record();
        let lines = [priced("pen", 3, "USD", 99), priced("mug", 2, "USD", 1250)];
        record.price(&lines).unwrap();
        let totals: Vec<i64> = record.order.items.iter().map(|item| item.total).collect();
        assert_eq!(totals, [2500, 297]);
        assert_eq!(
            (record.order.total, record.order.currency.as_str()),
            (2797, "USD")
        );
    }

    #[test]
    fn prices_that_cannot_be_are_refused_and_change_nothing() {
        let mug = || priced("mug", 2, "EUR", 1);
        for (lines, problem) in [
            (vec![], BadPrices::OtherLines),
            (vec![mug()], BadPrices::OtherLines),
            (
                vec![mug(), priced("cup", 3, "EUR", 1)],
                BadPrices::OtherLines,
            ),
            (
                vec![mug(), priced("pen", 4, "EUR", 1)],
                BadPrices::OtherLines,
            ),
            (
                vec![mug(), priced("pen", 3, "USD", 1)],
                BadPrices::Currencies,
            ),
            (vec![mug(), priced("pen", 3, "EUR", -1)], BadPrices::Amount),
            (
                vec![mug(), priced("pen", 3, "EUR", i64::MAX / 2)],
                BadPrices::Amount,
            ),
            (
                vec![mug(), priced("pen", 3, "EUR", i64::MAX / 3)],
                BadPrices::Amount,
            ),
        ] {
            let mut record = record();
            assert_eq!(record.price(&lines), Err(problem), "{lines:?}");
            assert_eq!(record.order.total, 0);
        }
    }

    #[test]
    fn an_order_id_has_one_spelling() {
        let id = OrderId::random();
        assert_eq!(id.to_string().parse::<OrderId>().ok(), Some(id));
        for text in [
            "",
            "42",
            "A7D5C1B0-0D8E-4E0B-9B8A-0B1B2C3D4E5F",
            "a7d5c1b00d8e4e0b9b8a0b1b2c3d4e5f",
            "{a7d5c1b0-0d8e-4e0b-9b8a-0b1b2c3d4e5f}",
        ] {
            assert!(text.parse::<OrderId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_never_prints_its_payment_token() {
        assert!(!format!("{:?}", record()).contains("tok_ok"));
    }
}
