//! What it takes to place an order: the body, the key, and the fingerprint that tells two requests apart.

use std::{collections::HashSet, fmt};

use http::{HeaderMap, HeaderName};
use mesh_proto::orders::v1::PlaceOrderRequest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    body::{Object, present},
    visitor::Visitor,
};
use crate::{
    error::Error,
    order::{Line, MAX_LINES},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is ordered, and what with it is paid.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"sku": "espresso-cup", "quantity": 2}], "payment_token": "tok_ok"}))]
pub(super) struct PlaceOrder {
    /// 1 to 50 different products. Left out: what is in the cart.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Vec<Line>, required = false, min_items = 1, max_items = 50)]
    items: Option<Items>,
    /// From the payment provider. The built-in one knows `tok_ok`, `tok_declined`, `tok_slow` and `tok_silent`.
    #[schema(value_type = String, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    payment_token: PaymentToken,
}

impl PlaceOrder {
    pub(super) fn is_from_cart(&self) -> bool {
        self.items.is_none()
    }

    /// What orders is asked for, on behalf of this visitor.
    pub(super) fn request(&self, key: String, visitor: Option<&Visitor>) -> PlaceOrderRequest {
        let session = visitor.map_or("", |visitor| visitor.name().as_str());
        let lines = match (&self.items, visitor) {
            (Some(items), _) => items.lines().cloned().collect(),
            (None, Some(visitor)) => visitor.cart().lines(),
            (None, None) => Vec::new(),
        };
        PlaceOrderRequest {
            idempotency_key: key,
            fingerprint: self.fingerprint(session),
            session: session.to_owned(),
            lines: lines.into_iter().map(Into::into).collect(),
            payment_token: self.payment_token.0.clone(),
        }
    }

    /// The same for the same JSON, however it is written. An order from the cart is also the session's, but whatever the
    /// cart holds: a repeat finds it emptied.
    fn fingerprint(&self, session: &str) -> Vec<u8> {
        // Unknown fields were refused, so nothing that was sent is missing here.
        let canonical = serde_json::to_vec(self).expect("a struct of strings and numbers is JSON");
        let mut hash = Sha256::new_with_prefix(canonical);
        if self.is_from_cart() {
            hash.update(session);
        }
        hash.finalize().to_vec()
    }
}

/// 1 to 50 lines, each product once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Object<Line>>")]
struct Items(Vec<Object<Line>>);

impl Items {
    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().map(|Object(line)| line)
    }
}

impl TryFrom<Vec<Object<Line>>> for Items {
    type Error = String;

    fn try_from(lines: Vec<Object<Line>>) -> Result<Self, String> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(format!(
                "an order is of 1 to {MAX_LINES} different products"
            ));
        }
        let mut seen = HashSet::with_capacity(lines.len());
        for Object(Line { sku, .. }) in &lines {
            if !seen.insert(sku) {
                return Err(format!("{} is there twice", sku.as_str()));
            }
        }
        Ok(Self(lines))
    }
}

/// What the customer pays with; a secret.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String")]
struct PaymentToken(String);

impl TryFrom<String> for PaymentToken {
    type Error = &'static str;

    fn try_from(token: String) -> Result<Self, Self::Error> {
        let possible = is_visible_ascii(token.as_bytes());
        possible
            .then_some(Self(token))
            .ok_or("no payment token looks like that")
    }
}

impl fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentToken(***)")
    }
}

/// The key, if there is exactly one and it is well formed.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<String, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Error::BadRequest(
            "exactly one Idempotency-Key is needed".to_owned(),
        ));
    };
    key.to_str()
        .ok()
        .filter(|key| is_visible_ascii(key.as_bytes()))
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::BadRequest("Idempotency-Key is not 1 to 255 visible ASCII characters".to_owned())
        })
}

/// Whether it is 1 to 255 visible ASCII characters.
fn is_visible_ascii(text: &[u8]) -> bool {
    (1..=255).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn decode(json: &str) -> Result<PlaceOrder, serde_json::Error> {
        serde_json::from_str::<Object<PlaceOrder>>(json).map(|Object(wanted)| wanted)
    }

    fn fingerprint(json: &str, session: &str) -> Vec<u8> {
        decode(json).unwrap().fingerprint(session)
    }

    #[test]
    fn the_fingerprint_is_of_what_was_said_not_of_how() {
        let plain = r#"{"items":[{"sku":"A","quantity":2}],"payment_token":"tok_ok"}"#;
        let spaced =
            r#" { "payment_token" : "tok\u005fok", "items": [ {"quantity":2, "sku":"\u0041"} ] } "#;
        assert_eq!(fingerprint(plain, "s"), fingerprint(spaced, "s"));
        assert_eq!(
            fingerprint(plain, "s"),
            fingerprint(plain, "another session")
        );
        for other in [
            r#"{"items":[{"sku":"A","quantity":3}],"payment_token":"tok_ok"}"#,
            r#"{"items":[{"sku":"B","quantity":2}],"payment_token":"tok_ok"}"#,
            r#"{"items":[{"sku":"A","quantity":2}],"payment_token":"tok_slow"}"#,
            r#"{"payment_token":"tok_ok"}"#,
        ] {
            assert_ne!(fingerprint(plain, "s"), fingerprint(other, "s"), "{other}");
        }
    }

    #[test]
    fn the_fingerprint_of_an_order_from_the_cart_is_the_sessions() {
        let json = r#"{"payment_token":"tok_ok"}"#;
        assert_eq!(fingerprint(json, "s"), fingerprint(json, "s"));
        assert_ne!(fingerprint(json, "s"), fingerprint(json, "another session"));
    }

    #[test]
    fn only_the_documented_shape_is_taken() {
        let line = |n: usize| format!(r#"{{"sku":"P{n}","quantity":1}}"#);
        let order = |lines: Vec<String>| {
            format!(r#"{{"items":[{}],"payment_token":"t"}}"#, lines.join(","))
        };
        assert!(decode(&order((0..50).map(line).collect())).is_ok());
        let wrong = [
            order((0..51).map(line).collect()),
            order(vec![]),
            order(vec![line(1), line(1)]),
            order(vec![r#"["P1",1]"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":1,"quantity":1}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":1,"price":1}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":0}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":1001}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":1.5}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":"1"}"#.to_owned()]),
            order(vec![r#"{"sku":"P1","quantity":1e999}"#.to_owned()]),
            order(vec![r#"{"sku":"P\u0000","quantity":1}"#.to_owned()]),
            order(vec![r#"{"sku":"P1"}"#.to_owned()]),
            r#"{"items":null,"payment_token":"t"}"#.to_owned(),
            r#"{"items":{},"payment_token":"t"}"#.to_owned(),
            r#"{"payment_token":""}"#.to_owned(),
            r#"{"payment_token":null}"#.to_owned(),
            r#"{"payment_token":"t","payment_token":"t"}"#.to_owned(),
            r#"{"payment_token":"t","coupon":1}"#.to_owned(),
            r#"[null,"t"]"#.to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
        ];
        for json in &wrong {
            assert!(decode(json).is_err(), "{json}");
        }
    }

    #[test]
    fn exactly_one_well_formed_key_is_taken() {
        let one = |key: &[u8]| {
            let key = HeaderValue::from_bytes(key).unwrap();
            HeaderMap::from_iter([(IDEMPOTENCY_KEY, key)])
        };
        assert_eq!(idempotency_key(&one(b"!~aZ09")).unwrap(), "!~aZ09");
        assert!(idempotency_key(&one(&[b'k'; 255])).is_ok());
        for wrong in [&b""[..], b"a b", b"a\t", b"\xe9", &[b'k'; 256]] {
            assert!(idempotency_key(&one(wrong)).is_err(), "{wrong:?}");
        }
        let mut two = one(b"a");
        two.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(idempotency_key(&two).is_err());
        assert!(idempotency_key(&HeaderMap::new()).is_err());
    }
}
