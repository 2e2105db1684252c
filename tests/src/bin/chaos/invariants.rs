//! What must hold of the facts, whatever has happened.

mod check;
#[cfg(test)]
mod tests;

use crate::facts::Facts;

/// What was found about one invariant.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// What must hold.
    pub(crate) holds: &'static str,
    /// How many were looked at.
    pub(crate) checked: usize,
    /// Where it does not, with ids and what was seen.
    pub(crate) violations: Vec<String>,
}

/// Checks of which each looks at some of the facts.
type Check = fn(&check::Index<'_>, &mut Verdict);

const ALL: [(&str, &str, Check); 9] = [
    (
        "I1",
        "every order that a customer was told of exists once, as it was told",
        check::told_orders_exist_once,
    ),
    (
        "I2",
        "a confirmed order is charged once, no customer twice",
        check::charged_once,
    ),
    (
        "I3",
        "no money is kept without a confirmed order",
        check::no_money_without_an_order,
    ),
    (
        "I4",
        "charges less refunds are the totals of confirmed orders",
        check::sums_agree,
    ),
    (
        "I5",
        "every piece is left, reserved or sold, and none is left over",
        check::stock_adds_up,
    ),
    (
        "I6",
        "every confirmed order is fulfilled once, every message published",
        check::fulfilled_once,
    ),
    (
        "I7",
        "every order has come to one end, also those nobody knows of",
        check::all_ended,
    ),
    (
        "I8",
        "the same key always gets the same answer",
        check::same_answer,
    ),
    (
        "I9",
        "the queue is empty, dead letters are the poison alone",
        check::queue_is_empty,
    ),
];

/// Checks all of them.
pub(crate) fn check(facts: &Facts) -> Vec<Verdict> {
    let index = check::Index::new(facts);
    let verdict = |(name, holds, check): &(&'static str, &'static str, Check)| {
        let mut verdict = Verdict {
            name,
            holds,
            checked: 0,
            violations: Vec::new(),
        };
        check(&index, &mut verdict);
        verdict
    };
    ALL.iter().map(verdict).collect()
}

impl Verdict {
    /// One more was looked at; it is a violation unless it is `good`.
    fn expect(&mut self, good: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if !good {
            self.violations.push(what());
        }
    }
}
