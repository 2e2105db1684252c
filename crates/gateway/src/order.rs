//! Orders: what a customer may ask for, and what orders answers, as customers see it.

use std::{fmt, num::NonZeroU8};

use mesh_proto::orders::v1 as wire;
use serde::{Deserialize, Serialize, Serializer};
use time::{
    OffsetDateTime,
    format_description::well_known::{
        Iso8601,
        iso8601::{Config, EncodedConfig, TimePrecision},
    },
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    error::Malformed,
    money::Money,
    product::{Quantity, Sku},
};

/// The different products one order may be of.
pub(crate) const MAX_LINES: usize = 50;

/// So many pieces of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[schema(inline)]
    pub(crate) sku: Sku,
    #[schema(inline)]
    pub(crate) quantity: Quantity,
}

impl From<Line> for wire::Line {
    fn from(line: Line) -> Self {
        Self {
            sku: line.sku.as_str().to_owned(),
            quantity: line.quantity.get().into(),
        }
    }
}

/// The id of an order: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = Uuid)]
pub(crate) struct OrderId(Uuid);

impl OrderId {
    /// Only the form with hyphens is an id: one order has one address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        hyphenated
            .then(|| Uuid::try_parse(text).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(rename_all = "lowercase")]
pub(crate) enum Status {
    /// The payment's outcome is not known yet.
    Pending,
    /// Paid for.
    Confirmed,
    /// On its way.
    Fulfilled,
    /// Cancelled and refunded.
    Cancelled,
    /// Declined, or out of stock.
    Failed,
}

impl TryFrom<i32> for Status {
    type Error = Malformed;

    fn try_from(status: i32) -> Result<Self, Malformed> {
        match wire::OrderStatus::try_from(status) {
            Ok(wire::OrderStatus::Pending) => Ok(Self::Pending),
            Ok(wire::OrderStatus::Confirmed) => Ok(Self::Confirmed),
            Ok(wire::OrderStatus::Fulfilled) => Ok(Self::Fulfilled),
            Ok(wire::OrderStatus::Cancelled) => Ok(Self::Cancelled),
            Ok(wire::OrderStatus::Failed) => Ok(Self::Failed),
            Ok(wire::OrderStatus::Unspecified) | Err(_) => {
                Err(Malformed("an order's status is unknown"))
            }
        }
    }
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) status: Status,
    pub(crate) items: Vec<OrderItem>,
    pub(crate) total: Money,
    /// RFC 3339, in UTC.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// RFC 3339, in UTC.
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
}

impl Order {
    /// Whether the order is of exactly these products and quantities.
    pub(crate) fn is_of(&self, lines: &[Line]) -> bool {
        self.items.len() == lines.len()
            && lines.iter().all(|line| {
                self.items
                    .iter()
                    .any(|item| item.sku == line.sku && item.quantity == line.quantity)
            })
    }
}

impl TryFrom<Option<wire::Order>> for Order {
    type Error = Malformed;

    fn try_from(order: Option<wire::Order>) -> Result<Self, Malformed> {
        let wire::Order {
            id,
            status,
            items,
            total,
            created_at_us,
            updated_at_us,
        } = order.ok_or(Malformed("the order is missing"))?;
        Ok(Self {
            id: OrderId::parse(&id).ok_or(Malformed("an order's id is not a UUID"))?,
            status: status.try_into()?,
            items: items
                .into_iter()
                .map(OrderItem::try_from)
                .collect::<Result<_, _>>()?,
            total: total.try_into()?,
            created_at: timestamp(created_at_us)?,
            updated_at: timestamp(updated_at_us)?,
        })
    }
}

/// One product of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderItem {
    #[schema(inline)]
    pub(crate) sku: Sku,
    #[schema(inline)]
    pub(crate) quantity: Quantity,
    /// The price of one piece when it was ordered.
    pub(crate) unit_price: Money,
    /// The price of all pieces.
    pub(crate) total: Money,
}

impl TryFrom<wire::OrderItem> for OrderItem {
    type Error = Malformed;

    fn try_from(item: wire::OrderItem) -> Result<Self, Malformed> {
        let wire::OrderItem {
            sku,
            quantity,
            unit_price,
            total,
        } = item;
        Ok(Self {
            sku: Sku::parse(&sku).ok_or(Malformed("a sku is malformed"))?,
            quantity: Quantity::try_from(i64::from(quantity))
                .map_err(|_| Malformed("a quantity is out of range"))?,
            unit_price: unit_price.try_into()?,
            total: total.try_into()?,
        })
    }
}

/// One page of a session's orders.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderPage {
    /// Newest first.
    pub(crate) orders: Vec<Order>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_page_token: Option<String>,
}

impl TryFrom<wire::ListOrdersResponse> for OrderPage {
    type Error = Malformed;

    fn try_from(page: wire::ListOrdersResponse) -> Result<Self, Malformed> {
        let wire::ListOrdersResponse {
            orders,
            next_page_token,
        } = page;
        Ok(Self {
            orders: orders
                .into_iter()
                .map(|order| Some(order).try_into())
                .collect::<Result<_, _>>()?,
            next_page_token: Some(next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

/// What became of an attempt to order.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) outcome: Outcome,
    /// The answer was recorded by an earlier request with the same key.
    pub(crate) replayed: bool,
}

/// How the attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Paid for.
    Confirmed(Order),
    /// The payment's outcome is not known yet.
    Pending(Order),
    /// The payment was declined.
    Declined,
    /// There are too few of these.
    OutOfStock(Vec<String>),
}

impl TryFrom<wire::PlaceOrderResponse> for Placed {
    type Error = Malformed;

    fn try_from(answer: wire::PlaceOrderResponse) -> Result<Self, Malformed> {
        use wire::place_order_response::Outcome as Wire;
        let wire::PlaceOrderResponse {
            outcome,
            order,
            replayed,
            out_of_stock_skus,
        } = answer;
        let outcome = match Wire::try_from(outcome) {
            Ok(Wire::Confirmed) => Outcome::Confirmed(order.try_into()?),
            Ok(Wire::Pending) => Outcome::Pending(order.try_into()?),
            Ok(Wire::Declined) => Outcome::Declined,
            Ok(Wire::OutOfStock) => Outcome::OutOfStock(out_of_stock_skus),
            Ok(Wire::Unspecified) | Err(_) => {
                return Err(Malformed("an order's outcome is unknown"));
            }
        };
        Ok(Self { outcome, replayed })
    }
}

/// RFC 3339 with all six digits of the microseconds, so that times sort as their texts do.
const MICROSECONDS: EncodedConfig = Config::DEFAULT
    .set_time_precision(TimePrecision::Second {
        decimal_digits: NonZeroU8::new(6),
    })
    .encode();

fn timestamp(micros: i64) -> Result<String, Malformed> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(&Iso8601::<MICROSECONDS>).ok())
        .ok_or(Malformed("a time is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(timestamp(0).unwrap(), "1970-01-01T00:00:00.000000Z");
        for (micros, text) in [
            (1_000_000_000_123_456, "2001-09-09T01:46:40.123456Z"),
            (1_000_000_000_123_450, "2001-09-09T01:46:40.123450Z"),
            (1_000_000_000_000_000, "2001-09-09T01:46:40.000000Z"),
        ] {
            assert_eq!(timestamp(micros).unwrap(), text);
        }
        assert!(timestamp(i64::MAX).is_err());
        assert!(timestamp(i64::MIN).is_err());
    }

    #[test]
    fn only_a_hyphenated_uuid_is_an_id() {
        let id = "6F9619FF-8B86-4D01-B42D-00CF4FC964FF";
        assert_eq!(OrderId::parse(id).unwrap().to_string(), id.to_lowercase());
        for wrong in [
            "",
            "1",
            "6f9619ff8b864d01b42d00cf4fc964ff",
            "{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964fg",
        ] {
            assert!(OrderId::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_that_breaks_the_contract_is_malformed() {
        assert!(Order::try_from(None).is_err());
        assert!(Order::try_from(Some(wire::Order::default())).is_err());
        for outcome in [0, 1, 2, 99] {
            let answer = wire::PlaceOrderResponse {
                outcome,
                ..wire::PlaceOrderResponse::default()
            };
            assert!(Placed::try_from(answer).is_err(), "{outcome}");
        }
        for status in [0, 6, -1] {
            assert!(Status::try_from(status).is_err(), "{status}");
        }
    }
}
