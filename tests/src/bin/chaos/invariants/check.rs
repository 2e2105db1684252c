//! The invariants, one function each.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use super::Verdict;
use crate::facts::{Cancel, Facts, Key, Message, Movement, Order, Outcome, Reservation, Told};

/// The facts, and where to find them.
pub(crate) struct Index<'f> {
    facts: &'f Facts,
    orders: HashMap<&'f str, &'f Order>,
    by_customer: HashMap<u32, Vec<&'f Order>>,
    by_charge: HashMap<&'f str, &'f Order>,
    keys: HashMap<&'f str, &'f Key>,
    movements: HashMap<&'f str, Vec<&'f Movement>>,
    reservations: HashMap<&'f str, &'f Reservation>,
    messages: HashMap<&'f str, Vec<&'f Message>>,
}

impl<'f> Index<'f> {
    pub(crate) fn new(facts: &'f Facts) -> Self {
        let orders = &facts.orders;
        Self {
            facts,
            orders: orders.iter().map(|row| (row.id.as_str(), row)).collect(),
            by_customer: grouped(orders, |row| row.customer.unwrap_or(u32::MAX)),
            by_charge: orders
                .iter()
                .map(|row| (row.charge_key.as_str(), row))
                .collect(),
            keys: facts
                .keys
                .iter()
                .map(|row| (row.key.as_str(), row))
                .collect(),
            movements: grouped(&facts.ledger, |row| row.key.as_str()),
            reservations: facts
                .reservations
                .iter()
                .map(|row| (row.order.as_str(), row))
                .collect(),
            messages: grouped(&facts.outbox, |row| row.order.as_str()),
        }
    }

    fn of_customer(&self, number: u32) -> &[&'f Order] {
        self.by_customer.get(&number).map_or(&[], Vec::as_slice)
    }

    fn movements(&self, charge_key: &str) -> &[&'f Movement] {
        self.movements.get(charge_key).map_or(&[], Vec::as_slice)
    }

    fn of_key(&self, key: &str) -> Option<&'f Order> {
        self.orders.get(self.keys.get(key)?.order.as_str()).copied()
    }
}

fn grouped<'f, K: Eq + Hash, V>(all: &'f [V], key: impl Fn(&'f V) -> K) -> HashMap<K, Vec<&'f V>> {
    let mut groups: HashMap<K, Vec<&V>> = HashMap::new();
    for each in all {
        groups.entry(key(each)).or_default().push(each);
    }
    groups
}

pub(super) fn told_orders_exist_once(index: &Index<'_>, verdict: &mut Verdict) {
    for told in &index.facts.customers {
        let name = format!("customer {}", told.number);
        let rows = index.of_customer(told.number);
        let placed = rows.iter().filter(|row| row.was_confirmed()).count();
        verdict.expect(placed <= 1, || {
            format!("{name} has {placed} orders: {}", ids(rows))
        });
        verdict.expect(told.odd.is_empty(), || {
            format!("{name} was answered {:?}", told.odd)
        });
        match &told.outcome {
            Outcome::Ok(id) => verdict.expect(told.can_pay && is_as_told(index, told, id), || {
                let row = index.orders.get(id.as_str());
                format!(
                    "{name} was told of order {id} (cancel: {:?}), which is {row:?}",
                    told.cancel
                )
            }),
            Outcome::Fail(status) => verdict
                .expect(told.refusals.contains(status) && placed == 0, || {
                    format!("{name} was told {status}, and has {}", ids(rows))
                }),
            Outcome::Info => {}
            Outcome::NotSent => verdict.expect(rows.is_empty(), || {
                format!("{name} never sent an order, and has {}", ids(rows))
            }),
        }
    }
    for row in &index.facts.orders {
        let known = row.customer.is_some_and(|number| {
            let of = |told: &Told| told.number == number;
            usize::try_from(number)
                .ok()
                .and_then(|place| index.facts.customers.get(place))
                .is_some_and(of)
        });
        verdict.expect(known, || format!("order {} is nobody's", row.id));
    }
}

fn is_as_told(index: &Index<'_>, told: &Told, id: &str) -> bool {
    let Some(row) = index.orders.get(id) else {
        return false;
    };
    let expected: &[&str] = match told.cancel {
        None | Some(Cancel::TooLate) => &["confirmed", "fulfilled"],
        Some(Cancel::Done) => &["cancelled"],
        Some(Cancel::Unknown) => &["confirmed", "fulfilled", "cancelled"],
    };
    expected.contains(&row.status.as_str())
        && row.visible
        && row.lines == told.lines
        && row.customer == Some(told.number)
}

pub(super) fn charged_once(index: &Index<'_>, verdict: &mut Verdict) {
    for row in &index.facts.orders {
        let movements = index.movements(&row.charge_key);
        let count = |refund| movements.iter().filter(|m| m.is_refund == refund).count();
        let (charges, refunds) = (count(false), count(true));
        let expected = match row.status.as_str() {
            "confirmed" | "fulfilled" => (charges, refunds) == (1, 0),
            "cancelled" => (charges, refunds) == (1, 1),
            _ => charges <= 1 && refunds == charges,
        };
        let right = |m: &Movement| m.amount == row.total && m.currency == row.currency;
        verdict.expect(expected && movements.iter().all(|m| right(m)), || {
            let Order { id, status, total, .. } = row;
            format!("order {id}, {status}, total {total}: {charges} charges, {refunds} refunds: {movements:?}")
        });
    }
    for told in &index.facts.customers {
        let paid = |row: &&&Order| {
            let moved = index.movements(&row.charge_key).iter();
            moved.map(|movement| movement.signed()).sum::<i64>() != 0
        };
        let rows = index.of_customer(told.number);
        let paid: Vec<&Order> = rows.iter().filter(paid).copied().collect();
        verdict.expect(paid.len() <= 1, || {
            format!(
                "customer {} paid {} times, for {}",
                told.number,
                paid.len(),
                ids(&paid)
            )
        });
    }
}

pub(super) fn no_money_without_an_order(index: &Index<'_>, verdict: &mut Verdict) {
    for (key, movements) in &index.movements {
        let kept: i64 = movements.iter().map(|movement| movement.signed()).sum();
        let row = index.by_charge.get(key);
        let good = match row {
            Some(row) => kept == 0 || row.is_confirmed(),
            None => false,
        };
        verdict.expect(good, || {
            let status = row.map(|row| &row.status);
            format!("{kept} kept under {key}, whose order is {status:?}")
        });
    }
}

pub(super) fn sums_agree(index: &Index<'_>, verdict: &mut Verdict) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for movement in &index.facts.ledger {
        sums.entry(&movement.currency).or_default().0 += movement.signed();
    }
    for row in index.facts.orders.iter().filter(|row| row.is_confirmed()) {
        sums.entry(&row.currency).or_default().1 += row.total;
    }
    for (currency, (taken, owed)) in sums {
        verdict.expect(taken == owed, || {
            format!("{taken} {currency} taken in all, for confirmed orders of {owed}")
        });
    }
}

pub(super) fn stock_adds_up(index: &Index<'_>, verdict: &mut Verdict) {
    let mut gone: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for row in &index.facts.reservations {
        for (sku, quantity) in &row.lines {
            *gone.entry((sku, &row.state)).or_default() += quantity;
        }
    }
    let seed = index.facts.seed_stock;
    for product in &index.facts.products {
        let count = |state| {
            gone.get(&(product.sku.as_str(), state))
                .copied()
                .unwrap_or(0)
        };
        let (left, sold, reserved) = (product.available, count("committed"), count("reserved"));
        let good = left >= 0 && reserved == 0 && left + sold == seed;
        verdict.expect(good, || {
            format!(
                "{}: {left} left, {sold} sold, {reserved} reserved, of {seed}",
                product.sku
            )
        });
    }
    for row in &index.facts.reservations {
        let order = index.orders.get(row.order.as_str());
        let sold = row.state == "committed";
        let good = match order {
            Some(order) if sold => order.status == "fulfilled" && order.lines == row.lines,
            Some(order) => order.status != "fulfilled",
            // Erased before anything was reserved for it, or released.
            None => !sold,
        };
        verdict.expect(good, || {
            let status = order.map(|order| &order.status);
            format!(
                "order {}, {status:?}: its pieces are {}",
                row.order, row.state
            )
        });
    }
}

pub(super) fn fulfilled_once(index: &Index<'_>, verdict: &mut Verdict) {
    for row in &index.facts.orders {
        let messages = index
            .messages
            .get(row.id.as_str())
            .map_or(&[][..], Vec::as_slice);
        let expected = usize::from(row.was_confirmed());
        verdict.expect(messages.len() == expected, || {
            format!(
                "order {}, {}: {} messages",
                row.id,
                row.status,
                messages.len()
            )
        });
        if !row.is_confirmed() {
            continue;
        }
        let message = messages.first().map(|message| message.id.as_str());
        let reservation = index.reservations.get(row.id.as_str());
        let sold_by = reservation.and_then(|row| row.committed_by.as_deref());
        let marked_by = row.fulfilled_by.as_deref();
        let good = row.status == "fulfilled"
            && message.is_some()
            && sold_by == message
            && marked_by == message;
        verdict.expect(good, || {
            let Order { id, status, .. } = row;
            format!("order {id}, {status}: message {message:?}, sold by {sold_by:?}, marked by {marked_by:?}")
        });
    }
    for message in &index.facts.outbox {
        verdict.expect(message.published, || {
            format!(
                "message {} of order {} is not published",
                message.id, message.order
            )
        });
    }
}

pub(super) fn all_ended(index: &Index<'_>, verdict: &mut Verdict) {
    for row in &index.facts.orders {
        let ended = ["fulfilled", "cancelled", "failed"].contains(&row.status.as_str());
        verdict.expect(ended && row.step == "done" && row.due.is_empty(), || {
            let Order {
                id,
                status,
                step,
                due,
                ..
            } = row;
            format!("order {id} is {status}, its next step {step}, left to do {due:?}")
        });
    }
    for row in &index.facts.keys {
        verdict.expect(row.is_final, || {
            format!("key {} of order {} has no final answer", row.key, row.order)
        });
    }
    let unknown = |told: &&Told| told.outcome == Outcome::Info;
    for told in index.facts.customers.iter().filter(unknown) {
        let visible = |row: &&&Order| row.visible;
        let rows: Vec<&Order> = index
            .of_customer(told.number)
            .iter()
            .filter(visible)
            .copied()
            .collect();
        verdict.expect(rows.len() <= 1, || {
            format!("customer {}, told nothing, has {}", told.number, ids(&rows))
        });
    }
}

pub(super) fn same_answer(index: &Index<'_>, verdict: &mut Verdict) {
    for told in &index.facts.customers {
        let answers = std::iter::once(&told.outcome).chain(&told.again);
        let answers: Vec<&Outcome> = answers
            .filter(|answer| !matches!(answer, Outcome::Info | Outcome::NotSent))
            .collect();
        verdict.expect(answers.windows(2).all(|pair| pair[0] == pair[1]), || {
            format!("customer {} got {answers:?}", told.number)
        });
        if let Outcome::Ok(id) = &told.outcome {
            let found = index.of_key(&told.key).map(|row| row.id.as_str());
            verdict.expect(found == Some(id), || {
                format!(
                    "key {} was answered with order {id}, and is of {found:?}",
                    told.key
                )
            });
        }
    }
}

pub(super) fn queue_is_empty(index: &Index<'_>, verdict: &mut Verdict) {
    let Facts {
        queued,
        dead,
        poison,
        ..
    } = index.facts;
    verdict.expect(*queued == 0, || {
        format!("{queued} messages are left in the queue")
    });
    let poison: BTreeSet<&String> = poison.iter().collect();
    for body in dead {
        verdict.expect(poison.contains(body), || {
            format!("a dead letter that is no poison: {body}")
        });
    }
    for body in poison {
        verdict.expect(dead.contains(body), || {
            format!("poison that is no dead letter: {body}")
        });
    }
}

fn ids(rows: &[&Order]) -> String {
    let each = |row: &&Order| format!("{} ({})", row.id, row.status);
    rows.iter().map(each).collect::<Vec<_>>().join(", ")
}
