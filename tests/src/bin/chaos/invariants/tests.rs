//! A good day, and every way in which it can turn out to be none.

use super::*;
use crate::facts::{Cancel, Key, Message, Movement, Order, Outcome, Product, Reservation, Told};

const SEED_STOCK: i64 = 100;
const TOTAL: i64 = 1_250;

/// Customer 0 has an order, 1 was declined, 2 has taken the order back, 3 was told nothing and has an order, 4 was told
/// nothing and has none, 5 found too few pieces.
fn good() -> Facts {
    let mut facts = Facts {
        seed_stock: SEED_STOCK,
        products: vec![Product {
            sku: "cup".to_owned(),
            available: SEED_STOCK - 4,
        }],
        dead: vec!["poison 1".to_owned(), "poison 1".to_owned()],
        poison: vec!["poison 1".to_owned()],
        ..Facts::default()
    };
    for (number, status) in (0..).zip([
        "fulfilled",
        "failed",
        "cancelled",
        "fulfilled",
        "",
        "failed",
    ]) {
        facts.customers.push(told(number, status));
        if !status.is_empty() {
            add(&mut facts, number, status);
        }
    }
    facts.customers[5].outcome = Outcome::Fail(409);
    facts.customers[3].outcome = Outcome::Info;
    facts
}

fn told(number: u32, status: &str) -> Told {
    let id = format!("o-{number}");
    Told {
        number,
        key: format!("key-{number}"),
        lines: [("cup".to_owned(), 2)].into(),
        can_pay: true,
        refusals: vec![402, 409],
        outcome: match status {
            "fulfilled" | "cancelled" => Outcome::Ok(id.clone()),
            "failed" => Outcome::Fail(402),
            _ => Outcome::Info,
        },
        cancel: (status == "cancelled").then_some(Cancel::Done),
        again: match status {
            "fulfilled" => vec![Outcome::Ok(id), Outcome::Info],
            _ => Vec::new(),
        },
        odd: Vec::new(),
        cookie: None,
    }
}

/// An order with everything that belongs to it.
fn add(facts: &mut Facts, number: u32, status: &str) {
    let (id, message) = (format!("o-{number}"), format!("m-{number}"));
    let confirmed = status != "failed";
    let fulfilled = status == "fulfilled";
    facts.orders.push(Order {
        id: id.clone(),
        status: status.to_owned(),
        step: "done".to_owned(),
        visible: true,
        lines: [("cup".to_owned(), 2)].into(),
        currency: "EUR".to_owned(),
        total: TOTAL,
        charge_key: format!("{id}:charge:1"),
        customer: Some(number),
        due: Vec::new(),
        fulfilled_by: fulfilled.then(|| message.clone()),
    });
    facts.keys.push(Key {
        key: format!("key-{number}"),
        order: id.clone(),
        is_final: true,
    });
    facts.reservations.push(Reservation {
        order: id.clone(),
        state: if fulfilled { "committed" } else { "released" }.to_owned(),
        committed_by: fulfilled.then(|| message.clone()),
        lines: [("cup".to_owned(), 2)].into(),
    });
    if confirmed {
        facts.ledger.push(movement(number, false));
        facts.outbox.push(Message {
            id: message,
            order: id,
            published: true,
        });
    }
    if status == "cancelled" {
        facts.ledger.push(movement(number, true));
    }
}

fn movement(number: u32, is_refund: bool) -> Movement {
    Movement {
        key: format!("o-{number}:charge:1"),
        is_refund,
        currency: "EUR".to_owned(),
        amount: TOTAL,
    }
}

/// The invariants that do not hold, with what is said of them.
fn violated(facts: &Facts) -> Vec<(&'static str, String)> {
    let verdicts = check(facts);
    assert_eq!(verdicts.len(), 9);
    let violated = verdicts.into_iter().filter(|v| !v.violations.is_empty());
    violated
        .map(|v| (v.name, v.violations.join("; ")))
        .collect()
}

/// Of all that is violated by the change, this is one, and says so.
fn violates(name: &str, says: &str, change: impl FnOnce(&mut Facts)) {
    let mut facts = good();
    change(&mut facts);
    let violated = violated(&facts);
    let found = violated.iter().find(|(violated, _)| *violated == name);
    assert!(
        found.is_some_and(|(_, what)| what.contains(says)),
        "{name} {says:?}: {violated:?}"
    );
}

fn order<'f>(facts: &'f mut Facts, id: &str) -> &'f mut Order {
    facts.orders.iter_mut().find(|row| row.id == id).unwrap()
}

#[test]
fn on_a_good_day_all_hold_and_all_are_looked_at() {
    let facts = good();
    assert_eq!(violated(&facts), []);
    assert!(check(&facts).iter().all(|verdict| verdict.checked > 0));
}

#[test]
fn i1_told_orders_exist_once() {
    violates(
        "I1",
        "was told of order o-0 (cancel: None), which is None",
        |facts| {
            facts.orders.remove(0);
        },
    );
    violates(
        "I1",
        "customer 0 has 2 orders: o-0 (fulfilled), o-9",
        |facts| {
            add(facts, 9, "fulfilled");
            order(facts, "o-9").customer = Some(0);
        },
    );
    violates("I1", "was told of order o-0", |facts| {
        order(facts, "o-0").lines.insert("mug".to_owned(), 1);
    });
    violates(
        "I1",
        "was told of order o-2 (cancel: Some(Done))",
        |facts| {
            order(facts, "o-2").status = "fulfilled".to_owned();
        },
    );
    violates(
        "I1",
        "was told of order o-0 (cancel: Some(TooLate))",
        |facts| {
            order(facts, "o-0").status = "cancelled".to_owned();
            facts.customers[0].cancel = Some(Cancel::TooLate);
        },
    );
    violates(
        "I1",
        "customer 1 was told 402, and has o-1 (fulfilled)",
        |facts| {
            order(facts, "o-1").status = "fulfilled".to_owned();
        },
    );
    violates("I1", "customer 1 was told 409", |facts| {
        facts.customers[1].outcome = Outcome::Fail(409);
        facts.customers[1].refusals = vec![402];
    });
    violates("I1", "customer 0 was told of order o-0", |facts| {
        facts.customers[0].can_pay = false;
    });
    violates(
        "I1",
        "customer 5 never sent an order, and has o-5",
        |facts| {
            facts.customers[5].outcome = Outcome::NotSent;
        },
    );
    violates("I1", "order o-3 is nobody's", |facts| {
        order(facts, "o-3").customer = None;
    });
    violates("I1", "answered [\"500\"]", |facts| {
        facts.customers[4].odd.push("500".to_owned());
    });
}

#[test]
fn i2_charged_once() {
    violates(
        "I2",
        "order o-0, fulfilled, total 1250: 2 charges",
        |facts| {
            facts.ledger.push(movement(0, false));
        },
    );
    violates(
        "I2",
        "order o-3, fulfilled, total 1250: 0 charges",
        |facts| {
            facts
                .ledger
                .retain(|movement| movement.key != "o-3:charge:1");
        },
    );
    violates(
        "I2",
        "order o-2, cancelled, total 1250: 1 charges, 0 refunds",
        |facts| {
            facts.ledger.retain(|movement| !movement.is_refund);
        },
    );
    violates("I2", "order o-1, failed", |facts| {
        facts.ledger.push(movement(1, false));
    });
    violates("I2", "order o-0, fulfilled, total 1249", |facts| {
        order(facts, "o-0").total -= 1;
    });
    violates(
        "I2",
        "customer 0 paid 2 times, for o-0 (fulfilled), o-9",
        |facts| {
            add(facts, 9, "fulfilled");
            order(facts, "o-9").customer = Some(0);
        },
    );
}

#[test]
fn i3_no_money_without_an_order() {
    violates(
        "I3",
        "1250 kept under o-9:charge:1, whose order is None",
        |facts| {
            facts.ledger.push(movement(9, false));
        },
    );
    violates(
        "I3",
        "1250 kept under o-1:charge:1, whose order is Some(\"failed\")",
        |facts| {
            facts.ledger.push(movement(1, false));
        },
    );
}

#[test]
fn i4_sums_agree() {
    violates(
        "I4",
        "2500 EUR taken in all, for confirmed orders of 3750",
        |facts| {
            add(facts, 9, "fulfilled");
            facts.ledger.pop();
        },
    );
    violates(
        "I4",
        "1250 USD taken in all, for confirmed orders of 0",
        |facts| {
            facts.ledger[0].currency = "USD".to_owned();
        },
    );
}

#[test]
fn i5_stock_adds_up() {
    violates("I5", "cup: 95 left, 4 sold, 0 reserved, of 100", |facts| {
        facts.products[0].available -= 1;
    });
    violates("I5", "cup: -1 left", |facts| {
        facts.products[0].available = -1;
    });
    violates("I5", "2 reserved", |facts| {
        facts.reservations[1].state = "reserved".to_owned();
    });
    violates(
        "I5",
        "order o-1, Some(\"failed\"): its pieces are committed",
        |facts| {
            facts.reservations[1].state = "committed".to_owned();
        },
    );
    violates(
        "I5",
        "order o-0, Some(\"fulfilled\"): its pieces are released",
        |facts| {
            facts.reservations[0].state = "released".to_owned();
        },
    );
    violates("I5", "order o-0", |facts| {
        facts.reservations[0].lines.insert("cup".to_owned(), 3);
    });
    violates("I5", "order o-9, None: its pieces are committed", |facts| {
        facts.reservations[0].order = "o-9".to_owned();
    });
}

#[test]
fn i6_fulfilled_once() {
    violates(
        "I6",
        "order o-0, confirmed: message Some(\"m-0\")",
        |facts| {
            order(facts, "o-0").status = "confirmed".to_owned();
        },
    );
    violates("I6", "order o-0, fulfilled: 2 messages", |facts| {
        let mut other = facts.outbox[0].clone();
        other.id = "m-9".to_owned();
        facts.outbox.push(other);
    });
    violates("I6", "order o-2, cancelled: 0 messages", |facts| {
        facts.outbox.retain(|message| message.order != "o-2");
    });
    violates("I6", "order o-1, failed: 1 messages", |facts| {
        facts.outbox[0].order = "o-1".to_owned();
    });
    violates("I6", "sold by Some(\"m-9\")", |facts| {
        facts.reservations[0].committed_by = Some("m-9".to_owned());
    });
    violates("I6", "marked by None", |facts| {
        order(facts, "o-0").fulfilled_by = None;
    });
    violates("I6", "message m-0 of order o-0 is not published", |facts| {
        facts.outbox[0].published = false;
    });
}

#[test]
fn i7_all_ended() {
    violates(
        "I7",
        "order o-3 is pending, its next step settle",
        |facts| {
            let order = order(facts, "o-3");
            (order.status, order.step) = ("pending".to_owned(), "settle".to_owned());
        },
    );
    violates("I7", "left to do [\"refund\"]", |facts| {
        order(facts, "o-2").due.push("refund");
    });
    violates(
        "I7",
        "key key-3 of order o-3 has no final answer",
        |facts| {
            facts.keys[3].is_final = false;
        },
    );
    violates(
        "I7",
        "customer 3, told nothing, has o-3 (fulfilled), o-9 (failed)",
        |facts| {
            add(facts, 9, "failed");
            order(facts, "o-9").customer = Some(3);
        },
    );
}

#[test]
fn i8_same_answer() {
    violates(
        "I8",
        "customer 0 got [Ok(\"o-0\"), Ok(\"o-0\"), Fail(402)]",
        |facts| {
            facts.customers[0].again.push(Outcome::Fail(402));
        },
    );
    violates("I8", "customer 0 got", |facts| {
        facts.customers[0].again[0] = Outcome::Ok("o-9".to_owned());
    });
    violates(
        "I8",
        "key key-0 was answered with order o-0, and is of Some(\"o-3\")",
        |facts| {
            facts.keys[0].order = "o-3".to_owned();
        },
    );
}

#[test]
fn i9_queue_is_empty() {
    violates("I9", "1 messages are left in the queue", |facts| {
        facts.queued = 1
    });
    violates("I9", "no poison: m-0", |facts| {
        facts.dead.push("m-0".to_owned())
    });
    violates("I9", "no dead letter: poison 1", |facts| facts.dead.clear());
}
