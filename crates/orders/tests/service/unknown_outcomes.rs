//! Charges that were not answered: nothing is guessed, nothing is taken twice.

use std::time::Duration;

use mesh_proto::{
    orders::v1::{OrderStatus, place_order_response::Outcome},
    payments::v1::ChargeState,
};
use mesh_store::Store;
use tonic::Code;

use crate::{
    fakes::{Fault, Gate},
    world::{World, expect, order, refused, until},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_charge_without_a_plain_answer_leaves_the_order_pending_until_a_repeat_settles_it,
    a_charge_that_never_arrived_is_made_by_the_repeat,
    a_charge_that_was_declined_in_the_dark_frees_the_stock_on_the_repeat,
    a_voided_charge_fails_the_order,
    while_nothing_can_be_learnt_the_order_stays_pending,
    a_charge_that_outlasts_the_request_leaves_it_pending_in_time,
    a_caller_that_goes_away_in_mid_charge_does_not_stop_its_record,
);

const UNKNOWN: [Code; 6] = [
    Code::Unknown,
    Code::Internal,
    Code::Cancelled,
    Code::DataLoss,
    Code::DeadlineExceeded,
    Code::Unavailable,
];

async fn a_charge_without_a_plain_answer_leaves_the_order_pending_until_a_repeat_settles_it(
    store: Store,
) {
    let world = World::new(store).await;
    for (index, code) in UNKNOWN.into_iter().enumerate() {
        let key = format!("{code:?}");
        let before = world.script.calls().len();
        world.script.fail("charge", &[Fault::LoseAnswer(code)]);
        let pending = expect(
            world.place(order(&key, "tok_ok")).await,
            Outcome::Pending,
            false,
        );
        assert_eq!(pending.total.as_ref().unwrap().amount_minor, 2797);
        assert_eq!(world.get(&pending.id).await.unwrap(), pending);
        assert_eq!(
            world.inventory.taken("mug"),
            2,
            "nothing is released on a guess"
        );
        assert_eq!(refused(world.cancel(&pending.id).await).0, Code::Aborted);

        let settled = expect(
            world.place(order(&key, "tok_ok")).await,
            Outcome::Confirmed,
            false,
        );
        assert_eq!(settled.id, pending.id);
        expect(
            world.place(order(&key, "tok_ok")).await,
            Outcome::Confirmed,
            true,
        );
        let calls = ["reserve", "charge", "get_charge"];
        assert_eq!(world.script.calls()[before..], calls, "{code:?}");
        let taken = 2797 * i64::try_from(index + 1).unwrap();
        assert_eq!(world.payments.takings(), taken, "{code:?}");
        world.inventory.commit(&settled.id);
    }
}

async fn a_charge_that_never_arrived_is_made_by_the_repeat(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::Unavailable)]);
    let pending = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Pending,
        false,
    );
    let settled = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    assert_eq!(settled.id, pending.id);
    assert_eq!(
        world.script.calls(),
        ["reserve", "charge", "get_charge", "charge"]
    );
    let keys = world.script.keys("charge");
    assert_eq!(
        keys[0], keys[1],
        "so that payments can tell that it is the same charge"
    );
    assert_eq!(world.payments.takings(), 2797);
}

async fn a_charge_that_was_declined_in_the_dark_frees_the_stock_on_the_repeat(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("charge", &[Fault::LoseAnswer(Code::Unavailable)]);
    expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Pending,
        false,
    );
    expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Declined,
        false,
    );
    expect(
        world.place(order("k", "tok_declined")).await,
        Outcome::Declined,
        true,
    );
    assert_eq!(
        world.script.calls(),
        ["reserve", "charge", "get_charge", "release"]
    );
    assert_eq!(world.inventory.taken("mug"), 0);
}

async fn a_voided_charge_fails_the_order(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::FailedPrecondition)]);
    let failed = expect(
        world.place(order("a", "tok_ok")).await,
        Outcome::Declined,
        false,
    );
    assert_eq!(failed.status(), OrderStatus::Failed);
    assert_eq!(world.inventory.taken("mug"), 0);

    for state in [ChargeState::Voided, ChargeState::Refunded] {
        world
            .script
            .fail("charge", &[Fault::Refuse(Code::Unavailable)]);
        let key = state.as_str_name();
        expect(
            world.place(order(key, "tok_ok")).await,
            Outcome::Pending,
            false,
        );
        let charge = world.script.keys("charge").pop().unwrap();
        world.payments.record(&charge, state);
        expect(
            world.place(order(key, "tok_ok")).await,
            Outcome::Declined,
            false,
        );
        assert_eq!(world.inventory.taken("mug"), 0);
    }
}

async fn while_nothing_can_be_learnt_the_order_stays_pending(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::Unavailable)]);
    let pending = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Pending,
        false,
    );
    world.pass(Duration::from_secs(1));
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Internal] {
        world.script.fail("get_charge", &[Fault::Refuse(code)]);
        let again = expect(
            world.place(order("k", "tok_ok")).await,
            Outcome::Pending,
            false,
        );
        assert_eq!(again, pending, "{code:?}");
    }
    // Nothing is known of the first charge, and the second one is turned away: the first may still be on its way.
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::ResourceExhausted)]);
    let again = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Pending,
        false,
    );
    assert_eq!(again, pending);
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
}

async fn a_charge_that_outlasts_the_request_leaves_it_pending_in_time(store: Store) {
    let world = World::new(store).await;
    world.script.fail("charge", &[Fault::Silence]);
    let limit = Duration::from_secs(3);
    let call = world.place_within(limit, order("k", "tok_ok"));
    let answer = tokio::time::timeout(limit, call)
        .await
        .expect("before its own deadline");
    expect(answer, Outcome::Pending, false);
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    assert_eq!(world.script.calls(), ["reserve", "charge", "get_charge"]);
    assert_eq!(world.payments.takings(), 2797);
}

async fn a_caller_that_goes_away_in_mid_charge_does_not_stop_its_record(store: Store) {
    let world = World::new(store).await;
    let gate = Gate::shut();
    world.script.fail("charge", &[Fault::Wait(gate.clone())]);
    let call = world.start_placing(order("k", "tok_ok"));
    world.called("charge", 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // The key is still held: the charge is under way.
    assert_eq!(
        refused(world.place(order("k", "tok_ok")).await).0,
        Code::Aborted
    );
    gate.open();
    let placed = until("placed", async || {
        match world.place(order("k", "tok_ok")).await {
            Err(status) if status.code() == Code::Aborted => Err(status),
            answer => Ok(answer),
        }
    });
    expect(placed.await, Outcome::Confirmed, true);
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
}
