//! Amounts of money as customers see them, and the sums the gateway makes of them.

use mesh_proto::money::v1 as wire;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{error::Malformed, product::Quantity};

/// An amount in the smallest unit of its currency: 12.50 EUR is 1250.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"currency": "EUR", "amount_minor": 1250}))]
pub(crate) struct Money {
    /// ISO 4217 code.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// The amount in the currency's smallest unit.
    amount_minor: i64,
}

impl Money {
    /// What an empty cart costs: the shop sells in euros.
    pub(crate) fn nothing() -> Self {
        Self {
            currency: "EUR".to_owned(),
            amount_minor: 0,
        }
    }

    /// The price of several pieces. Fails only when a peer's price is absurd.
    pub(crate) fn times(&self, quantity: Quantity) -> Result<Self, Malformed> {
        Ok(Self {
            currency: self.currency.clone(),
            amount_minor: self
                .amount_minor
                .checked_mul(quantity.get().into())
                .ok_or(Malformed("a price is out of range"))?,
        })
    }

    /// The sum of several amounts, which must be of one currency.
    pub(crate) fn sum<'a>(amounts: impl IntoIterator<Item = &'a Self>) -> Result<Self, Malformed> {
        let mut amounts = amounts.into_iter();
        let Some(first) = amounts.next() else {
            return Ok(Self::nothing());
        };
        amounts.try_fold(first.clone(), |sum, amount| sum.plus(amount))
    }

    fn plus(self, other: &Self) -> Result<Self, Malformed> {
        if self.currency != other.currency {
            return Err(Malformed("prices are in different currencies"));
        }
        Ok(Self {
            amount_minor: self
                .amount_minor
                .checked_add(other.amount_minor)
                .ok_or(Malformed("a sum of prices is out of range"))?,
            currency: self.currency,
        })
    }
}

impl TryFrom<Option<wire::Money>> for Money {
    type Error = Malformed;

    fn try_from(money: Option<wire::Money>) -> Result<Self, Malformed> {
        let wire::Money {
            currency,
            amount_minor,
        } = money.ok_or(Malformed("an amount of money is missing"))?;
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(Malformed("a currency is not three capital letters"));
        }
        Ok(Self {
            currency,
            amount_minor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(currency: &str, amount_minor: i64) -> Result<Money, Malformed> {
        Money::try_from(Some(wire::Money {
            currency: currency.to_owned(),
            amount_minor,
        }))
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let price = money("EUR", 1250).unwrap();
        let three = price.times(Quantity::try_from(3).unwrap()).unwrap();
        assert_eq!(three, money("EUR", 3750).unwrap());
        assert_eq!(
            Money::sum([&price, &three]).unwrap(),
            money("EUR", 5000).unwrap()
        );
        assert_eq!(Money::sum([]).unwrap(), Money::nothing());

        let most = money("EUR", i64::MAX).unwrap();
        assert!(most.times(Quantity::try_from(2).unwrap()).is_err());
        assert!(Money::sum([&most, &price]).is_err());
        assert!(Money::sum([&price, &money("USD", 1).unwrap()]).is_err());
    }

    #[test]
    fn a_peers_amount_must_be_there_and_name_a_currency() {
        assert!(Money::try_from(None).is_err());
        for currency in ["", "eur", "EURO", "E\u{dc}R"] {
            assert!(money(currency, 1).is_err(), "{currency}");
        }
    }
}
