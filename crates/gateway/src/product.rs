//! Products as customers see them, and how many of them one may want.

use std::fmt;

use mesh_proto::inventory::v1 as wire;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};
use utoipa::ToSchema;

use crate::{error::Malformed, money::Money};

/// The name of a product.
// Only the shape is checked here; which ones exist is inventory's to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
pub(crate) struct Sku(String);

impl Sku {
    /// Longer ones exist nowhere, and need not be asked for.
    const MAX_LENGTH: usize = 64;

    /// `None` when no product can be called so.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let possible = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        possible.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no product has such a sku")
    }
}

/// Pieces of one product: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(value_type = u16, minimum = 1, maximum = 1000)]
pub(crate) struct Quantity(u16);

impl Quantity {
    const MAX: u16 = 1000;

    pub(crate) fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = &'static str;

    fn try_from(quantity: i64) -> Result<Self, Self::Error> {
        u16::try_from(quantity)
            .ok()
            .filter(|quantity| (1..=Self::MAX).contains(quantity))
            .map(Self)
            .ok_or("a quantity is from 1 to 1000")
    }
}

/// What is no number is refused in words for customers: serde's own would tell them of `i64`.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QuantityVisitor;

        impl Visitor<'_> for QuantityVisitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {}", Quantity::MAX)
            }

            fn visit_i64<E: de::Error>(self, quantity: i64) -> Result<Quantity, E> {
                Quantity::try_from(quantity).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, quantity: u64) -> Result<Quantity, E> {
                // What does not fit is too many, too.
                self.visit_i64(i64::try_from(quantity).unwrap_or(i64::MAX))
            }
        }

        deserializer.deserialize_u64(QuantityVisitor)
    }
}

/// A product of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Product {
    #[schema(inline)]
    pub(crate) sku: Sku,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) price: Money,
    /// Pieces neither reserved nor sold.
    pub(crate) available: u64,
}

impl TryFrom<wire::Product> for Product {
    type Error = Malformed;

    fn try_from(product: wire::Product) -> Result<Self, Malformed> {
        let wire::Product {
            sku,
            name,
            description,
            price,
            available,
        } = product;
        Ok(Self {
            sku: Sku::parse(&sku).ok_or(Malformed("a sku is malformed"))?,
            name,
            description,
            price: price.try_into()?,
            // Customers are shown what they can buy, which is never less than nothing.
            available: u64::try_from(available).unwrap_or(0),
        })
    }
}

/// One page of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductPage {
    pub(crate) products: Vec<Product>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_page_token: Option<String>,
}

impl TryFrom<wire::ListProductsResponse> for ProductPage {
    type Error = Malformed;

    fn try_from(page: wire::ListProductsResponse) -> Result<Self, Malformed> {
        let wire::ListProductsResponse {
            products,
            next_page_token,
        } = page;
        Ok(Self {
            products: products
                .into_iter()
                .map(Product::try_from)
                .collect::<Result<_, _>>()?,
            next_page_token: Some(next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_short_and_visible() {
        assert!(Sku::parse("TEA-001").is_some());
        assert!(Sku::parse(&"x".repeat(64)).is_some());
        for impossible in ["", " ", "a b", "t\u{e9}", "a\0", &"x".repeat(65)] {
            assert!(Sku::parse(impossible).is_none(), "{impossible:?}");
        }
    }

    #[test]
    fn a_quantity_is_from_one_to_a_thousand() {
        assert_eq!(Quantity::try_from(1).map(Quantity::get), Ok(1));
        assert_eq!(Quantity::try_from(1000).map(Quantity::get), Ok(1000));
        for out_of_range in [i64::MIN, -1, 0, 1001, 65_537, i64::MAX] {
            assert!(Quantity::try_from(out_of_range).is_err(), "{out_of_range}");
        }
    }

    #[test]
    fn a_quantity_is_written_as_a_whole_number() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json);
        assert_eq!(read("1000").unwrap().get(), 1000);
        for wrong in ["0", "-1", "1001", "18446744073709551615", "1e400"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "1.0",
            "\"2\"",
            "null",
            "true",
            "[1]",
            "99999999999999999999",
        ] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(
                said.contains("expected a whole number from 1 to 1000"),
                "{wrong}: {said}"
            );
        }
    }

    #[test]
    fn available_is_never_negative() {
        let product = Product::try_from(wire::Product {
            sku: "TEA-001".to_owned(),
            price: Some(mesh_proto::money::v1::Money {
                currency: "EUR".to_owned(),
                amount_minor: 1,
            }),
            available: -3,
            ..wire::Product::default()
        });
        assert_eq!(product.unwrap().available, 0);
    }
}
