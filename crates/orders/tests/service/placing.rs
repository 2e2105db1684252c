//! What becomes of an order whose payment answers, and every row of the idempotency table.

use std::time::Duration;

use mesh_proto::{
    money::v1::Money,
    orders::v1::{OrderStatus, PlaceOrderRequest, place_order_response::Outcome},
};
use mesh_store::Store;
use tonic::Code;

use crate::{
    fakes::{Fault, Gate},
    world::{World, expect, order, order_of, refused},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    an_order_is_reserved_charged_and_confirmed,
    the_same_key_gives_the_same_answer_whatever_has_happened_since,
    another_request_under_the_same_key_is_refused,
    a_declined_card_frees_the_stock,
    a_declined_card_frees_the_stock_even_after_the_answer,
    what_is_out_of_stock_is_not_charged,
    an_unknown_sku_leaves_no_trace,
    an_unknown_payment_token_leaves_no_trace_but_a_released_reservation,
    a_malformed_request_leaves_no_trace,
    a_key_that_is_worked_on_is_not_worked_on_by_another,
    a_holder_that_died_is_taken_over_after_ten_seconds_and_cannot_write_any_more,
    a_holder_that_was_taken_over_cannot_write_while_its_successor_works,
    of_many_at_once_one_places_the_order,
);

async fn an_order_is_reserved_charged_and_confirmed(store: Store) {
    let world = World::new(store).await;
    let placed = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
    assert_eq!(world.payments.takings(), 2 * 1250 + 3 * 99);

    let total = placed.total.clone().unwrap();
    assert_eq!((total.currency.as_str(), total.amount_minor), ("EUR", 2797));
    let items = placed.items.iter().map(|item| {
        let (price, total) = (item.unit_price.as_ref(), item.total.as_ref());
        let minor = |money: Option<&Money>| money.unwrap().amount_minor;
        (item.sku.as_str(), item.quantity, minor(price), minor(total))
    });
    let expected = [("mug", 2, 1250, 2500), ("pen", 3, 99, 297)];
    assert_eq!(items.collect::<Vec<_>>(), expected);
    assert_eq!(world.get(&placed.id).await.unwrap(), placed);
    assert_eq!(world.script.keys("reserve"), [placed.id.as_str()]);

    let unpublished =
        "SELECT COUNT(*) FROM outbox WHERE type = 'order.confirmed' AND published_at IS NULL";
    assert_eq!(world.count(unpublished).await, 1);
    let tokens = "SELECT COUNT(*) FROM orders WHERE payment_token IS NOT NULL";
    assert_eq!(
        world.count(tokens).await,
        0,
        "the payment token is kept until the payment is settled"
    );
}

async fn the_same_key_gives_the_same_answer_whatever_has_happened_since(store: Store) {
    let world = World::new(store).await;
    let first = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    let second = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        true,
    );
    assert_eq!(second, first);

    world.cancel(&first.id).await.unwrap();
    // What was in the cart may have changed too; only key and fingerprint count.
    let third = PlaceOrderRequest {
        lines: Vec::new(),
        ..order("k", "tok_ok")
    };
    assert_eq!(
        expect(world.place(third).await, Outcome::Confirmed, true),
        first
    );
    assert_eq!(
        world.script.calls(),
        ["reserve", "charge", "release", "refund"]
    );
    assert_eq!(world.count("SELECT COUNT(*) FROM outbox").await, 1);
}

async fn another_request_under_the_same_key_is_refused(store: Store) {
    let world = World::new(store).await;
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    let other = PlaceOrderRequest {
        fingerprint: vec![8; 32],
        ..order("k", "tok_ok")
    };
    assert_eq!(
        refused(world.place(other.clone()).await).0,
        Code::AlreadyExists
    );
    let malformed = PlaceOrderRequest {
        lines: Vec::new(),
        ..other
    };
    assert_eq!(refused(world.place(malformed).await).0, Code::AlreadyExists);
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
}

async fn a_declined_card_frees_the_stock(store: Store) {
    let world = World::new(store).await;
    let placed = expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Declined,
        false,
    );
    assert_eq!(world.script.calls(), ["reserve", "charge", "release"]);
    assert_eq!(world.inventory.taken("mug"), 0);
    let due = "SELECT COUNT(*) FROM orders WHERE release_due_at IS NOT NULL";
    assert_eq!(world.count(due).await, 0);

    let again = expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Declined,
        true,
    );
    assert_eq!(again, placed);
    assert_eq!(world.script.calls().len(), 3);
    assert_eq!(world.list("session", 0, "").await.unwrap().orders, [placed]);
    assert_eq!(world.count("SELECT COUNT(*) FROM outbox").await, 0);
}

async fn a_declined_card_frees_the_stock_even_after_the_answer(store: Store) {
    let world = World::new(store).await;
    let gate = Gate::shut();
    world.script.fail("release", &[Fault::Wait(gate.clone())]);
    let limit = Duration::from_millis(600);
    // The answer does not wait for the release beyond the request's own time.
    let placed = world.place_within(limit, order("k", "tok_declined")).await;
    expect(placed, Outcome::Declined, false);
    let due = "SELECT COUNT(*) FROM orders WHERE release_due_at IS NOT NULL";
    assert_eq!(world.count(due).await, 1);
    gate.open();
    world.counted(due, 0).await;
    assert_eq!(world.inventory.taken("mug"), 0);
}

async fn what_is_out_of_stock_is_not_charged(store: Store) {
    let world = World::new(store).await;
    let request = || order_of("k", "tok_ok", &[("pen", 1), ("mug", 11)]);
    let answer = world.place(request()).await;
    assert_eq!(answer.as_ref().unwrap().out_of_stock_skus, ["mug"]);
    let placed = expect(answer, Outcome::OutOfStock, false);
    let cost = |money: &Option<Money>| money.as_ref().map(|money| money.amount_minor);
    let totals = placed.items.iter().map(|item| cost(&item.total));
    assert!(totals.eq([Some(99), Some(11 * 1_250)]), "{placed:?}");
    assert_eq!(cost(&placed.total), Some(99 + 11 * 1_250));
    assert!(!world.script.calls().contains(&"charge"));
    let calls = world.script.calls().len();

    let again = world.place(request()).await;
    assert_eq!(again.as_ref().unwrap().out_of_stock_skus, ["mug"]);
    assert_eq!(expect(again, Outcome::OutOfStock, true), placed);
    assert_eq!(world.script.calls().len(), calls);

    let listed = world.list("session", 0, "").await.unwrap().orders;
    assert_eq!(listed, [placed]);
    assert_eq!(listed[0].status(), OrderStatus::Failed);
    assert_eq!(world.inventory.taken("pen"), 0);
}

const EVERYTHING: &str =
    "SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM idempotency_keys)";

async fn an_unknown_sku_leaves_no_trace(store: Store) {
    let world = World::new(store).await;
    let request = order_of("k", "tok_ok", &[("pen", 1), ("unicorn", 1)]);
    let (code, message) = refused(world.place(request).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "unknown sku: unicorn")
    );
    assert_eq!(world.script.calls(), ["reserve"]);
    assert_eq!(world.count(EVERYTHING).await, 0);

    let other = PlaceOrderRequest {
        fingerprint: vec![8; 32],
        ..order("k", "tok_ok")
    };
    expect(world.place(other).await, Outcome::Confirmed, false);
}

async fn an_unknown_payment_token_leaves_no_trace_but_a_released_reservation(store: Store) {
    let world = World::new(store).await;
    let (code, message) = refused(world.place(order("k", "tok_no")).await);
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "unknown payment token")
    );
    assert_eq!(world.script.calls(), ["reserve", "charge", "release"]);
    assert_eq!(world.inventory.taken("mug"), 0);
    assert_eq!(world.count(EVERYTHING).await, 0);

    world
        .script
        .fail("release", &[Fault::Refuse(Code::Unavailable)]);
    assert_eq!(
        refused(world.place(order("k", "tok_no")).await).0,
        Code::InvalidArgument
    );
    assert_eq!(
        world.inventory.taken("mug"),
        2,
        "what could not be released stays due"
    );
    let due = "SELECT COUNT(*) FROM orders WHERE release_due_at IS NOT NULL";
    assert_eq!(world.count(due).await, 1);
    assert_eq!(world.list("session", 0, "").await.unwrap().orders, []);
    let hidden = world.script.keys("release")[1].clone();
    assert_eq!(refused(world.get(&hidden).await).0, Code::NotFound);

    let other = PlaceOrderRequest {
        fingerprint: vec![8; 32],
        ..order("k", "tok_ok")
    };
    expect(world.place(other).await, Outcome::Confirmed, false);
}

async fn a_malformed_request_leaves_no_trace(store: Store) {
    let world = World::new(store).await;
    let fine = || order("k", "tok_ok");
    for request in [
        PlaceOrderRequest {
            idempotency_key: String::new(),
            ..fine()
        },
        PlaceOrderRequest {
            fingerprint: Vec::new(),
            ..fine()
        },
        PlaceOrderRequest {
            session: "a\0b".to_owned(),
            ..fine()
        },
        PlaceOrderRequest {
            payment_token: String::new(),
            ..fine()
        },
        order_of("k", "tok_ok", &[]),
        order_of("k", "tok_ok", &[("mug", 0)]),
        order_of("k", "tok_ok", &[("mug", 1), ("mug", 1)]),
    ] {
        assert_eq!(refused(world.place(request).await).0, Code::InvalidArgument);
    }
    assert_eq!(world.script.calls(), [] as [&str; 0]);
    assert_eq!(world.count(EVERYTHING).await, 0);
}

async fn a_key_that_is_worked_on_is_not_worked_on_by_another(store: Store) {
    let world = World::new(store).await;
    let gate = Gate::shut();
    world.script.fail("charge", &[Fault::Wait(gate.clone())]);
    let first = world.start_placing(order("k", "tok_ok"));
    world.called("charge", 1).await;
    assert_eq!(
        refused(world.place(order("k", "tok_ok")).await).0,
        Code::Aborted
    );
    let other = PlaceOrderRequest {
        fingerprint: vec![8; 32],
        ..order("k", "tok_ok")
    };
    assert_eq!(refused(world.place(other).await).0, Code::AlreadyExists);
    gate.open();
    let first = expect(first.await.unwrap(), Outcome::Confirmed, false);
    let second = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        true,
    );
    assert_eq!(second, first);
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
}

async fn a_holder_that_died_is_taken_over_after_ten_seconds_and_cannot_write_any_more(
    store: Store,
) {
    let world = World::new(store).await;
    for (rpc, calls) in [
        ("reserve", &["reserve", "reserve", "charge"][..]),
        ("charge", &["reserve", "charge", "get_charge", "charge"]),
    ] {
        let (before, keys) = (world.script.calls().len(), world.script.keys(rpc).len());
        let gate = Gate::shut();
        world.script.fail(rpc, &[Fault::Wait(gate.clone())]);
        let stuck = world.start_placing(order(rpc, "tok_ok"));
        world.called(rpc, keys + 1).await;
        world.pass(Duration::from_millis(9_900));
        assert_eq!(
            refused(world.place(order(rpc, "tok_ok")).await).0,
            Code::Aborted,
            "{rpc}"
        );
        world.pass(Duration::from_millis(100));
        expect(
            world.place(order(rpc, "tok_ok")).await,
            Outcome::Confirmed,
            false,
        );
        gate.open();
        assert_eq!(refused(stuck.await.unwrap()).0, Code::Aborted, "{rpc}");
        expect(
            world.place(order(rpc, "tok_ok")).await,
            Outcome::Confirmed,
            true,
        );
        assert_eq!(world.script.calls()[before..], *calls, "{rpc}");
    }
    assert_eq!(world.payments.takings(), 2 * 2797);
    assert_eq!(world.count("SELECT COUNT(*) FROM outbox").await, 2);
}

async fn a_holder_that_was_taken_over_cannot_write_while_its_successor_works(store: Store) {
    let world = World::new(store).await;
    let [first, second] = [Gate::shut(), Gate::shut()];
    world.script.fail("charge", &[Fault::Wait(first.clone())]);
    world
        .script
        .fail("get_charge", &[Fault::Wait(second.clone())]);
    let stuck = world.start_placing(order("k", "tok_ok"));
    world.called("charge", 1).await;
    world.pass(Duration::from_secs(10));
    let successor = world.start_placing(order("k", "tok_ok"));
    world.called("get_charge", 1).await;
    first.open();
    assert_eq!(refused(stuck.await.unwrap()).0, Code::Aborted);
    second.open();
    expect(successor.await.unwrap(), Outcome::Confirmed, false);
    assert_eq!(world.payments.takings(), 2797);
}

async fn of_many_at_once_one_places_the_order(store: Store) {
    let world = World::new(store).await;
    let calls: Vec<_> = (0..20)
        .map(|_| world.start_placing(order("k", "tok_ok")))
        .collect();
    let mut confirmed = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => {
                assert_eq!(answer.outcome(), Outcome::Confirmed);
                confirmed += i32::from(!answer.replayed);
            }
            Err(status) => assert_eq!(status.code(), Code::Aborted, "{status}"),
        }
    }
    assert_eq!(confirmed, 1);
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
}
