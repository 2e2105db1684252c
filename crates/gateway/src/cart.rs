//! The cart of a session, and what it costs.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::Malformed,
    money::Money,
    order::{Line, MAX_LINES},
    product::{Product, Quantity, Sku},
};

/// What a session has chosen so far. Prices are not kept: they are inventory's, and may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cart {
    lines: BTreeMap<Sku, Quantity>,
}

/// The cart holds as many different products as one order may be of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Cart {
    /// Wants so many pieces of a product, whatever was wanted before.
    pub(crate) fn set(&mut self, sku: Sku, quantity: Quantity) -> Result<(), Full> {
        if self.lines.len() >= MAX_LINES && !self.lines.contains_key(&sku) {
            return Err(Full);
        }
        self.lines.insert(sku, quantity);
        Ok(())
    }

    /// Wants the product no more, if it was wanted.
    pub(crate) fn remove(&mut self, sku: &Sku) {
        self.lines.remove(sku);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.lines.keys()
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines
            .iter()
            .map(|(sku, quantity)| Line {
                sku: sku.clone(),
                quantity: *quantity,
            })
            .collect()
    }

    /// What the cart costs at these prices. A product that is no longer sold is left out.
    pub(crate) fn priced(&self, products: Vec<Product>) -> Result<PricedCart, Malformed> {
        let prices: HashMap<Sku, Money> = products
            .into_iter()
            .map(|product| (product.sku, product.price))
            .collect();
        let mut items = Vec::with_capacity(self.lines.len());
        for (sku, quantity) in &self.lines {
            let Some(unit_price) = prices.get(sku) else {
                continue;
            };
            items.push(CartItem {
                sku: sku.clone(),
                quantity: *quantity,
                unit_price: unit_price.clone(),
                total: unit_price.times(*quantity)?,
            });
        }
        let total = Money::sum(items.iter().map(|item| &item.total))?;
        Ok(PricedCart { items, total })
    }
}

/// The session's cart at today's prices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cart)]
pub(crate) struct PricedCart {
    items: Vec<CartItem>,
    total: Money,
}

impl PricedCart {
    pub(crate) fn empty() -> Self {
        Self {
            items: Vec::new(),
            total: Money::nothing(),
        }
    }
}

/// One product in the cart.
#[derive(Debug, Serialize, ToSchema)]
struct CartItem {
    #[schema(inline)]
    sku: Sku,
    #[schema(inline)]
    quantity: Quantity,
    /// The price of one piece today.
    unit_price: Money,
    /// The price of all pieces.
    total: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(name: impl AsRef<str>) -> Sku {
        Sku::parse(name.as_ref()).unwrap()
    }

    fn quantity(pieces: i64) -> Quantity {
        Quantity::try_from(pieces).unwrap()
    }

    fn product(name: &str, amount_minor: i64) -> Product {
        Product::try_from(mesh_proto::inventory::v1::Product {
            sku: name.to_owned(),
            price: Some(mesh_proto::money::v1::Money {
                currency: "EUR".to_owned(),
                amount_minor,
            }),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn the_fifty_first_product_is_refused_and_a_new_quantity_is_not() {
        let mut cart = Cart::default();
        for n in 0..MAX_LINES {
            cart.set(sku(format!("P-{n}")), quantity(1)).unwrap();
        }
        assert_eq!(cart.set(sku("ONE-MORE"), quantity(1)), Err(Full));
        cart.set(sku("P-7"), quantity(9)).unwrap();
        assert_eq!(cart.lines[&sku("P-7")], quantity(9));
        cart.remove(&sku("P-7"));
        cart.remove(&sku("P-7"));
        cart.set(sku("ONE-MORE"), quantity(1)).unwrap();
    }

    #[test]
    fn a_cart_costs_the_sum_of_its_lines_and_what_is_no_longer_sold_nothing() {
        let mut cart = Cart::default();
        cart.set(sku("A"), quantity(2)).unwrap();
        cart.set(sku("B"), quantity(3)).unwrap();
        cart.set(sku("GONE"), quantity(1)).unwrap();
        let priced = cart
            .priced(vec![product("A", 100), product("B", 7)])
            .unwrap();
        assert_eq!(priced.items.len(), 2);
        assert_eq!(
            serde_json::to_value(&priced.total).unwrap(),
            serde_json::json!({"currency": "EUR", "amount_minor": 221})
        );
    }
}
