//! What is asked for when an order is placed, and what is answered.

use std::collections::BTreeSet;

use mesh_config::Secret;
use serde::{Deserialize, Serialize};

use crate::order::{Line, Order};

/// Different products in one order.
const MAX_LINES: usize = 50;
/// Pieces of one product.
const MAX_QUANTITY: i32 = 1_000;
/// Characters of a key, a session, a sku, a payment token.
const MAX_NAME: usize = 255;
/// Bytes of a SHA-256.
const FINGERPRINT: usize = 32;

/// A request that cannot be served as it is. The messages are for the customer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("an idempotency key is 1 to 255 visible ASCII characters")]
    Key,
    #[error("a fingerprint is a SHA-256")]
    Fingerprint,
    #[error("a session is at most 255 visible ASCII characters")]
    Session,
    #[error("an order has 1 to 50 different products, not {0}")]
    Lines(usize),
    #[error("sku {0} is there more than once")]
    Twice(String),
    #[error("the quantity of {sku} is 1 to 1000, not {quantity}")]
    Quantity { sku: String, quantity: i32 },
    #[error("unknown sku: {}", .0.join(", "))]
    UnknownSkus(Vec<String>),
    #[error("unknown payment token")]
    UnknownPaymentToken,
    #[error("not a page token of ours")]
    PageToken,
    #[error("the id of a message is 1 to 255 characters")]
    MessageId,
}

/// A request to place an order. Its lines and its payment token are looked at only when its key is new.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) key: String,
    /// Hexadecimal.
    pub(crate) fingerprint: String,
    pub(crate) session: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) payment_token: Secret,
}

impl Placement {
    /// The fingerprint as it is kept.
    ///
    /// # Errors
    /// It is not as long as a SHA-256.
    pub(crate) fn fingerprint(bytes: &[u8]) -> Result<String, Malformed> {
        if bytes.len() != FINGERPRINT {
            return Err(Malformed::Fingerprint);
        }
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What must be right whether the key is known or not.
    pub(crate) fn check_name(&self) -> Result<(), Malformed> {
        if !is_name(&self.key) {
            return Err(Malformed::Key);
        }
        check_session(&self.session)
    }

    /// What must be right to begin a new order.
    pub(crate) fn check_request(&self) -> Result<(), Malformed> {
        if !(1..=MAX_LINES).contains(&self.lines.len()) {
            return Err(Malformed::Lines(self.lines.len()));
        }
        let mut seen = BTreeSet::new();
        for Line { sku, quantity } in &self.lines {
            if !is_name(sku) {
                return Err(Malformed::UnknownSkus(vec![sku.clone()]));
            }
            if !(1..=MAX_QUANTITY).contains(quantity) {
                let (sku, quantity) = (sku.clone(), *quantity);
                return Err(Malformed::Quantity { sku, quantity });
            }
            if !seen.insert(sku) {
                return Err(Malformed::Twice(sku.clone()));
            }
        }
        if !is_name(self.payment_token.expose()) {
            return Err(Malformed::UnknownPaymentToken);
        }
        Ok(())
    }
}

/// A session may be empty: the request has none.
pub(crate) fn check_session(session: &str) -> Result<(), Malformed> {
    if session.is_empty() || is_name(session) {
        return Ok(());
    }
    Err(Malformed::Session)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// How placing an order ended, or stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Confirmed,
    Pending,
    Declined,
    OutOfStock,
}

/// The answer, as the key keeps it once it is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) order: Order,
    /// Skus of which there are too few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) out_of_stock: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(lines: &[(&str, i32)], payment_token: &str) -> Placement {
        let line = |(sku, quantity): &(&str, i32)| Line {
            sku: (*sku).to_owned(),
            quantity: *quantity,
        };
        Placement {
            key: "key".to_owned(),
            fingerprint: "00".repeat(FINGERPRINT),
            session: String::new(),
            lines: lines.iter().map(line).collect(),
            payment_token: Secret::new(payment_token),
        }
    }

    #[test]
    fn a_key_is_255_visible_characters_at_most() {
        let long = "k".repeat(256);
        for (key, expected) in [
            ("k", Ok(())),
            (&long[..255], Ok(())),
            (&long, Err(Malformed::Key)),
            ("", Err(Malformed::Key)),
            ("two words", Err(Malformed::Key)),
            ("null\0", Err(Malformed::Key)),
            ("schlüssel", Err(Malformed::Key)),
        ] {
            let mut placement = placement(&[], "tok_ok");
            placement.key = key.to_owned();
            assert_eq!(placement.check_name(), expected, "{key:?}");
        }
    }

    #[test]
    fn a_fingerprint_is_kept_in_hexadecimal() {
        let kept = Placement::fingerprint(&[0x0f; 32]).unwrap();
        assert_eq!(kept, "0f".repeat(32));
        assert_eq!(Placement::fingerprint(&[]), Err(Malformed::Fingerprint));
    }

    #[test]
    fn a_new_order_has_known_looking_lines_each_once_in_bounds_and_a_payment_token() {
        let many: Vec<String> = (0..51).map(|n| format!("sku-{n}")).collect();
        let many: Vec<(&str, i32)> = many.iter().map(|sku| (sku.as_str(), 1)).collect();
        let unknown = |sku: &str| Err(Malformed::UnknownSkus(vec![sku.to_owned()]));
        let quantity = |quantity| {
            let sku = "mug".to_owned();
            Err(Malformed::Quantity { sku, quantity })
        };
        for (lines, expected) in [
            (&[("mug", 1), ("pen", 1_000)][..], Ok(())),
            (&many[..50], Ok(())),
            (&many, Err(Malformed::Lines(51))),
            (&[], Err(Malformed::Lines(0))),
            (&[("mug", 0)], quantity(0)),
            (&[("mug", 1_001)], quantity(1_001)),
            (&[("", 1)], unknown("")),
            (&[("mug\0", 1)], unknown("mug\0")),
            (
                &[("mug", 1), ("mug", 2)],
                Err(Malformed::Twice("mug".to_owned())),
            ),
        ] {
            let found = placement(lines, "tok_ok").check_request();
            assert_eq!(found, expected, "{lines:?}");
        }
        for token in ["", "tok ok", "\0"] {
            let found = placement(&[("mug", 1)], token).check_request();
            assert_eq!(found, Err(Malformed::UnknownPaymentToken), "{token:?}");
        }
    }
}
