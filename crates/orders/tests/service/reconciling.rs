//! What no request brings to its end, the reconciler does: once, whoever else is at it.

use std::time::Duration;

use mesh_proto::{
    money::v1::Money,
    orders::v1::{OrderStatus, place_order_response::Outcome},
    payments::v1::ChargeRequest,
};
use mesh_store::Store;
use tonic::Code;

use crate::{
    fakes::{Fault, Gate},
    world::{World, expect, order, refused},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_charge_that_was_made_confirms_the_order,
    a_charge_that_was_declined_fails_the_order_and_frees_the_stock,
    a_charge_that_never_came_is_voided_before_the_stock_is_freed,
    an_order_that_is_given_up_is_never_charged_again,
    an_attempt_that_is_alive_is_left_alone_and_one_that_wakes_up_too_late_changes_nothing,
    an_order_that_was_not_charged_can_be_resumed_for_ten_minutes,
    an_order_that_inventory_never_answered_for_is_forgotten_after_ten_minutes,
    an_order_that_died_with_its_process_is_forgotten_or_given_up_and_holds_no_stock,
    a_release_is_tried_for_ever_with_growing_pauses,
    a_refund_is_made_in_the_end,
    an_interrupted_cancel_is_finished,
    a_cancel_that_came_too_late_is_dropped,
    a_reconciler_that_was_replaced_changes_nothing,
    one_order_in_trouble_does_not_stop_the_others,
);

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// How long a charge may be on its way.
const PATIENCE: Duration = Duration::from_secs(10);
const OUTBOX: &str = "SELECT COUNT(*) FROM outbox";

/// Places an order whose charge gets no answer; its id.
async fn pending(world: &World, key: &str, token: &str, fault: Fault) -> String {
    world.script.fail("charge", &[fault]);
    let placed = world.place(order(key, token)).await;
    expect(placed, Outcome::Pending, false).id
}

async fn status(world: &World, id: &str) -> OrderStatus {
    world.get(id).await.unwrap().status()
}

async fn a_charge_that_was_made_confirms_the_order(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::LoseAnswer(Code::Unavailable);
    let id = pending(&world, "k", "tok_ok", lost).await;
    assert_eq!(world.count(OUTBOX).await, 0);
    world.reconcile(Duration::ZERO).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Pending, "just now");

    world.reconcile(SECOND).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Confirmed);
    assert_eq!(world.count(OUTBOX).await, 1);
    let same_trace = "SELECT COUNT(*) FROM outbox JOIN orders ON orders.id = outbox.order_id \
                      WHERE outbox.trace_headers = orders.trace_headers";
    assert_eq!(world.count(same_trace).await, 1);
    let again = world.place(order("k", "tok_ok")).await;
    assert_eq!(expect(again, Outcome::Confirmed, true).id, id);
    world.reconcile(TEN_MINUTES).await;
    assert_eq!(world.script.calls(), ["reserve", "charge", "get_charge"]);
    assert_eq!(world.payments.takings(), 2797);
}

async fn a_charge_that_was_declined_fails_the_order_and_frees_the_stock(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::LoseAnswer(Code::Unavailable);
    let id = pending(&world, "k", "tok_declined", lost).await;
    world.reconcile(SECOND).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Failed);
    assert_eq!(world.inventory.taken("mug"), 0);
    let again = world.place(order("k", "tok_declined")).await;
    assert_eq!(expect(again, Outcome::Declined, true).id, id);
    world.reconcile(TEN_MINUTES).await;
    let calls = ["reserve", "charge", "get_charge", "release"];
    assert_eq!(world.script.calls(), calls);
    assert_eq!(world.count(OUTBOX).await, 0);
}

async fn a_charge_that_never_came_is_voided_before_the_stock_is_freed(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::Refuse(Code::Unavailable);
    let id = pending(&world, "k", "tok_ok", lost).await;
    for _ in 0..2 {
        world.reconcile(PATIENCE / 4).await;
        assert_eq!(status(&world, &id).await, OrderStatus::Pending, "too early");
        assert!(world.script.keys("refund").is_empty());
    }
    // Were it released first, it would be sold to another while the charge arrives.
    world
        .script
        .fail("refund", &[Fault::Refuse(Code::Unavailable)]);
    world.reconcile(PATIENCE).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Pending);
    assert_eq!(world.inventory.taken("mug"), 2);

    world.reconcile(PATIENCE).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Failed);
    assert_eq!(world.inventory.taken("mug"), 0);
    let calls = world.script.calls();
    assert_eq!(calls[calls.len() - 2..], ["refund", "release"]);

    // The charge arrives at last.
    let late = world.payments.charge_now(ChargeRequest {
        key: world.script.keys("charge").pop().unwrap(),
        amount: Some(Money {
            currency: "EUR".to_owned(),
            amount_minor: 2797,
        }),
        payment_token: "tok_ok".to_owned(),
    });
    assert_eq!(refused(late).0, Code::FailedPrecondition);
    assert_eq!(world.payments.takings(), 0);
    let again = world.place(order("k", "tok_ok")).await;
    assert_eq!(expect(again, Outcome::Declined, true).id, id);
}

async fn an_order_that_is_given_up_is_never_charged_again(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::Refuse(Code::Unavailable);
    let id = pending(&world, "k", "tok_ok", lost).await;
    world
        .script
        .fail("refund", &[Fault::LoseAnswer(Code::Unavailable)]);
    world.reconcile(PATIENCE).await;
    // It is neither here nor there, and the customer asks again.
    let again = world.place(order("k", "tok_ok")).await;
    assert_eq!(expect(again, Outcome::Pending, false).id, id);
    assert_eq!(world.script.keys("charge").len(), 1);

    world.reconcile(PATIENCE).await;
    let again = world.place(order("k", "tok_ok")).await;
    assert_eq!(expect(again, Outcome::Declined, true).id, id);
    assert_eq!(world.payments.takings(), 0);
}

async fn an_attempt_that_is_alive_is_left_alone_and_one_that_wakes_up_too_late_changes_nothing(
    store: Store,
) {
    let world = World::new(store).await;
    let gate = Gate::shut();
    world.script.fail("charge", &[Fault::Wait(gate.clone())]);
    let call = world.start_placing(order("k", "tok_ok"));
    world.called("charge", 1).await;
    world.reconcile(Duration::from_secs(9)).await;
    assert_eq!(world.script.calls(), ["reserve", "charge"]);

    // Its time is over: it is taken for dead. A customer may still come back and resume it.
    world.reconcile(SECOND).await;
    assert_eq!(world.script.calls(), ["reserve", "charge", "get_charge"]);
    world.reconcile(3 * PATIENCE).await;
    let after = ["get_charge", "refund", "release"];
    assert_eq!(world.script.calls()[3..], after);

    gate.open();
    let (code, _) = refused(call.await.unwrap());
    assert_eq!(code, Code::Aborted, "it has lost the order");
    let again = world.place(order("k", "tok_ok")).await;
    expect(again, Outcome::Declined, true);
    assert_eq!(world.payments.takings(), 0);
    assert_eq!(world.inventory.taken("mug"), 0);
}

async fn an_order_that_was_not_charged_can_be_resumed_for_ten_minutes(store: Store) {
    let world = World::new(store).await;
    for key in ["resumed", "left"] {
        world
            .script
            .fail("charge", &[Fault::Refuse(Code::ResourceExhausted)]);
        refused(world.place(order(key, "tok_ok")).await);
    }
    world.reconcile(TEN_MINUTES - SECOND).await;
    expect(
        world.place(order("resumed", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    // The longest pause after it was last looked at.
    world.reconcile(Duration::from_secs(60)).await;
    expect(
        world.place(order("left", "tok_ok")).await,
        Outcome::Declined,
        true,
    );
    assert_eq!(world.payments.takings(), 2797);
    assert_eq!(world.inventory.taken("mug"), 2, "of the one that was paid");
}

async fn an_order_that_inventory_never_answered_for_is_forgotten_after_ten_minutes(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("reserve", &[Fault::LoseAnswer(Code::Unavailable)]);
    refused(world.place(order("k", "tok_ok")).await);
    world.reconcile(TEN_MINUTES - SECOND).await;
    assert_eq!(world.inventory.taken("mug"), 2);

    world.reconcile(SECOND).await;
    assert_eq!(world.inventory.taken("mug"), 0);
    for sql in [
        "SELECT COUNT(*) FROM orders",
        "SELECT COUNT(*) FROM idempotency_keys",
    ] {
        assert_eq!(world.count(sql).await, 0, "{sql}");
    }
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
}

async fn an_order_that_died_with_its_process_is_forgotten_or_given_up_and_holds_no_stock(
    store: Store,
) {
    let world = World::new(store).await;
    for (rpc, key) in [("reserve", "reserving"), ("charge", "charging")] {
        let lost = match rpc {
            "reserve" => Fault::LoseAnswer(Code::Unavailable),
            _ => Fault::Refuse(Code::ResourceExhausted),
        };
        world.script.fail(rpc, &[lost]);
        refused(world.place(order(key, "tok_ok")).await);
    }
    // What a process leaves that has no time to unlock its key.
    world
        .alter("UPDATE idempotency_keys SET holder = 'dead'")
        .await;
    assert_eq!(world.inventory.taken("mug"), 4);
    // A customer may come back and resume it for half a minute.
    world.reconcile(Duration::from_secs(29)).await;
    assert_eq!(world.inventory.taken("mug"), 4);
    world.reconcile(Duration::from_secs(60)).await;
    assert_eq!(world.inventory.taken("mug"), 2, "what may be charged");
    world.reconcile(TEN_MINUTES).await;
    assert_eq!(world.inventory.taken("mug"), 0);
    let open = "SELECT COUNT(*) FROM orders WHERE status = 'pending'";
    assert_eq!(world.count(open).await, 0);
    assert_eq!(world.payments.takings(), 0);
}

async fn a_release_is_tried_for_ever_with_growing_pauses(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("release", &vec![Fault::Refuse(Code::Unavailable); 5]);
    expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Declined,
        false,
    );
    world.called("release", 1).await;
    let mut tries = 1;
    // The request may be at it for 5 s; then after 1 s, 2 s, 4 s.
    for (later, tried) in [
        (4, 0),
        (1, 1),
        (0, 0),
        (1, 1),
        (1, 0),
        (1, 1),
        (3, 0),
        (1, 1),
    ] {
        world.reconcile(later * SECOND).await;
        tries += tried;
        assert_eq!(world.script.keys("release").len(), tries, "{later} s later");
    }
    assert_eq!(world.inventory.taken("mug"), 2);
    world.reconcile(8 * SECOND).await;
    assert_eq!(world.inventory.taken("mug"), 0);
    let calls = world.script.calls().len();
    world.reconcile(TEN_MINUTES).await;
    assert_eq!(world.script.calls().len(), calls, "it is done");
}

async fn a_refund_is_made_in_the_end(store: Store) {
    let world = World::new(store).await;
    let placed = world.place(order("k", "tok_ok")).await;
    let id = expect(placed, Outcome::Confirmed, false).id;
    world
        .script
        .fail("refund", &vec![Fault::Refuse(Code::Unavailable); 2]);
    let cancelled = world.cancel(&id).await.unwrap();
    assert_eq!(cancelled.status(), OrderStatus::Cancelled);
    world.called("refund", 1).await;
    assert_eq!(world.payments.takings(), 2797);
    for later in [5, 1] {
        world.reconcile(later * SECOND).await;
    }
    assert_eq!(world.payments.takings(), 0);
    world.reconcile(TEN_MINUTES).await;
    assert_eq!(world.script.keys("refund").len(), 3);
}

async fn an_interrupted_cancel_is_finished(store: Store) {
    let world = World::new(store).await;
    let placed = world.place(order("k", "tok_ok")).await;
    let id = expect(placed, Outcome::Confirmed, false).id;
    world
        .script
        .fail("release", &[Fault::LoseAnswer(Code::Unavailable)]);
    refused(world.cancel(&id).await);
    assert_eq!(status(&world, &id).await, OrderStatus::Confirmed);
    world.reconcile(5 * SECOND).await;
    assert_eq!(status(&world, &id).await, OrderStatus::Cancelled);
    assert_eq!(world.payments.takings(), 0);
    world.reconcile(TEN_MINUTES).await;
    assert_eq!(world.script.keys("refund").len(), 1);
}

async fn a_cancel_that_came_too_late_is_dropped(store: Store) {
    let world = World::new(store).await;
    let placed = world.place(order("k", "tok_ok")).await;
    let id = expect(placed, Outcome::Confirmed, false).id;
    world
        .script
        .fail("release", &[Fault::Refuse(Code::Unavailable)]);
    refused(world.cancel(&id).await);
    world.inventory.commit(&id);
    for _ in 0..2 {
        world.reconcile(5 * SECOND).await;
        assert_eq!(status(&world, &id).await, OrderStatus::Confirmed);
        assert_eq!(world.script.keys("release").len(), 2);
    }
    assert_eq!(world.payments.takings(), 2797);
}

async fn a_reconciler_that_was_replaced_changes_nothing(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::LoseAnswer(Code::Unavailable);
    let id = pending(&world, "k", "tok_ok", lost).await;
    world.pass(SECOND);
    let gate = Gate::shut();
    world
        .script
        .fail("get_charge", &[Fault::Wait(gate.clone())]);
    // The holder is paused in mid-call, and another takes over.
    let successor = async {
        world.called("get_charge", 1).await;
        assert!(world.reconciler.round(2).await);
        assert_eq!(status(&world, &id).await, OrderStatus::Confirmed);
        // So that the first has something to write again.
        world
            .alter("UPDATE orders SET status = 'pending', step = 'settle'")
            .await;
        world
            .alter("UPDATE idempotency_keys SET state = 'open', answer = NULL")
            .await;
        gate.open();
    };
    let (holds, ()) = tokio::join!(world.reconciler.round(1), successor);
    assert!(!holds, "the store has seen a newer token");
    assert_eq!(status(&world, &id).await, OrderStatus::Pending);
    assert_eq!(world.count(OUTBOX).await, 1);

    assert!(!world.reconciler.round(1).await);
    assert_eq!(world.script.keys("get_charge").len(), 2);
    world.pass(SECOND);
    assert!(world.reconciler.round(2).await, "its term goes on");
    assert_eq!(status(&world, &id).await, OrderStatus::Confirmed);
}

async fn one_order_in_trouble_does_not_stop_the_others(store: Store) {
    let world = World::new(store).await;
    let lost = Fault::LoseAnswer(Code::Unavailable);
    let bad = pending(&world, "bad", "tok_ok", lost.clone()).await;
    let good = pending(&world, "good", "tok_ok", lost).await;
    world
        .alter("UPDATE orders SET items = 'broken' WHERE id IN (SELECT order_id FROM idempotency_keys WHERE key = 'bad')")
        .await;
    world.reconcile(SECOND).await;
    assert_eq!(status(&world, &good).await, OrderStatus::Confirmed);
    assert_eq!(refused(world.get(&bad).await).0, Code::Internal);
}
