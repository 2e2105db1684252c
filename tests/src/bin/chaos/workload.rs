//! What each customer wants and how it behaves: a function of the seed and the customer's number alone.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Products of the catalogue. The first is wanted by so many that it runs out.
pub(crate) const PRODUCTS: usize = 24;
const LAST_PIECES: usize = 0;

/// What the payment provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Ok,
    Declined,
    Slow,
    Silent,
}

impl Token {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "tok_ok",
            Self::Declined => "tok_declined",
            Self::Slow => "tok_slow",
            Self::Silent => "tok_silent",
        }
    }
}

/// One customer, who wants one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    pub(crate) number: u32,
    /// Products, by their place in the catalogue, and pieces of each.
    pub(crate) lines: Vec<(usize, u32)>,
    pub(crate) token: Token,
    /// Which gateway is asked first.
    pub(crate) gateway: usize,
    /// Fills a cart and orders what is in it.
    pub(crate) from_cart: bool,
    /// Sends the same key through both gateways at once.
    pub(crate) twice: bool,
    /// Asks until there is an answer; others are gone after the first that says nothing.
    pub(crate) patient: bool,
    /// Takes the order back once it is placed.
    pub(crate) cancels: bool,
    /// Asks again after the answer, through the other gateway.
    pub(crate) repeats: bool,
}

impl Customer {
    pub(crate) fn new(seed: u64, number: u32) -> Self {
        // Neighbouring seeds are as different as any other two.
        let own = seed.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut random = StdRng::seed_from_u64(own);
        let mut lines = Vec::new();
        if random.random_ratio(1, 10) {
            lines.push((LAST_PIECES, random.random_range(1..=4)));
        }
        let more = usize::from(lines.is_empty()) + random.random_range(0..3);
        for _ in 0..more {
            let product = random.random_range(1..PRODUCTS);
            if lines.iter().all(|(other, _)| *other != product) {
                lines.push((product, random.random_range(1..=3)));
            }
        }
        let token = match random.random_range(0..100) {
            0..86 => Token::Ok,
            86..92 => Token::Declined,
            92..96 => Token::Slow,
            _ => Token::Silent,
        };
        Self {
            number,
            lines,
            token,
            gateway: random.random_range(0..2),
            from_cart: random.random_ratio(15, 100),
            twice: random.random_ratio(5, 100),
            patient: random.random_ratio(90, 100),
            cancels: random.random_ratio(8, 100),
            repeats: random.random_ratio(10, 100),
        }
    }

    /// It may be too late.
    pub(crate) fn wants_last_pieces(&self) -> bool {
        self.lines
            .iter()
            .any(|(product, _)| *product == LAST_PIECES)
    }

    /// The name of the order, whoever asks for it how often.
    pub(crate) fn key(&self, seed: u64) -> String {
        format!("chaos-{seed}-{}", self.number)
    }

    /// Every request of this customer belongs to it: so an order in the store is known to be this customer's, whatever
    /// became of its key.
    pub(crate) fn trace_id(number: u32) -> String {
        format!("c4a05000{:024x}", u64::from(number) + 1)
    }

    /// Whose trace it is.
    pub(crate) fn of_trace_id(id: &str) -> Option<u32> {
        let number = u64::from_str_radix(id.strip_prefix("c4a05000")?, 16).ok()?;
        u32::try_from(number.checked_sub(1)?).ok()
    }
}

/// So many customers come before the orders at most, to measure what the shop can do.
pub(crate) fn most_before(orders: u32) -> u32 {
    (orders / 5 + 50).min(5_000)
}

/// Pieces of each product: more than are wanted of each but the first, by those who come before too.
pub(crate) fn seed_stock(orders: u32) -> u32 {
    (orders + most_before(orders)) / 6 + 50
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_customer_is_made_of_the_seed_and_its_number() {
        assert_eq!(Customer::new(7, 3), Customer::new(7, 3));
        let differ = |one: &Customer, other: &Customer| one.lines != other.lines;
        let others = (0..50).filter(|n| differ(&Customer::new(7, *n), &Customer::new(8, *n)));
        assert!(others.count() > 25);
    }

    #[test]
    fn a_trace_names_its_customer() {
        for number in [0, 1, u32::MAX] {
            let id = Customer::trace_id(number);
            assert_eq!((id.len(), Customer::of_trace_id(&id)), (32, Some(number)));
        }
        assert_eq!(Customer::of_trace_id(&"a".repeat(32)), None);
    }

    #[test]
    fn one_product_runs_out_and_the_others_do_not() {
        const ORDERS: u32 = 5_000;
        let wanted = |customers: u32| {
            let mut wanted: BTreeMap<usize, u32> = BTreeMap::new();
            for customer in (0..customers).map(|number| Customer::new(1, number)) {
                assert!((1..=3).contains(&customer.lines.len()));
                for (product, quantity) in customer.lines {
                    *wanted.entry(product).or_default() += quantity;
                }
            }
            wanted
        };
        assert!(wanted(ORDERS).remove(&LAST_PIECES) > Some(seed_stock(ORDERS)));
        let mut all = wanted(ORDERS + most_before(ORDERS));
        all.remove(&LAST_PIECES);
        assert!(all.values().max() < Some(&seed_stock(ORDERS)), "{all:?}");
    }
}
