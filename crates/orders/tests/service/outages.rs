//! Attempts that fail before money may have moved: the next one goes on from the recorded step, at once.

use std::time::Duration;

use mesh_proto::orders::v1::place_order_response::Outcome;
use mesh_store::{
    Store,
    testing::{self, Postgres},
};
use tonic::Code;

use crate::{
    fakes::{Fault, Gate},
    world::{World, expect, order, refused, until},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_reservation_that_failed_is_made_by_the_next_try,
    a_charge_that_was_turned_away_is_made_by_the_next_try,
    a_caller_that_goes_away_before_the_charge_leaves_the_key_to_the_next_try,
    an_order_that_was_given_up_begins_anew,
    a_peer_that_breaks_its_contract_is_an_internal_error,
);

async fn a_reservation_that_failed_is_made_by_the_next_try(store: Store) {
    let world = World::new(store).await;
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
    ] {
        world.script.fail("reserve", &[Fault::LoseAnswer(code)]);
        assert_eq!(refused(world.place(order("k", "tok_ok")).await).0, code);
    }
    assert_eq!(
        world.list("session", 0, "").await.unwrap().orders,
        [],
        "it has no prices yet"
    );
    let placed = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    assert_eq!(world.script.keys("reserve"), vec![placed.id; 4]);
    assert_eq!(world.inventory.taken("mug"), 2);
    assert_eq!(world.script.keys("charge").len(), 1);
}

async fn a_charge_that_was_turned_away_is_made_by_the_next_try(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::ResourceExhausted)]);
    assert_eq!(
        refused(world.place(order("k", "tok_ok")).await).0,
        Code::ResourceExhausted
    );
    world
        .script
        .fail("get_charge", &[Fault::Refuse(Code::Unavailable)]);
    assert_eq!(
        refused(world.place(order("k", "tok_ok")).await).0,
        Code::Unavailable
    );
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    let calls = ["reserve", "charge", "get_charge", "get_charge", "charge"];
    assert_eq!(world.script.calls(), calls);
    assert_eq!(world.payments.takings(), 2797);
}

async fn a_caller_that_goes_away_before_the_charge_leaves_the_key_to_the_next_try(store: Store) {
    let world = World::new(store).await;
    world.script.fail("reserve", &[Fault::Wait(Gate::shut())]);
    let call = world.start_placing(order("k", "tok_ok"));
    world.called("reserve", 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let placed = until("placed", async || {
        match world.place(order("k", "tok_ok")).await {
            Err(status) if status.code() == Code::Aborted => Err(status),
            answer => Ok(answer),
        }
    });
    expect(placed.await, Outcome::Confirmed, false);
    assert_eq!(world.script.calls(), ["reserve", "reserve", "charge"]);
}

async fn an_order_that_was_given_up_begins_anew(store: Store) {
    let world = World::new(store).await;
    world
        .script
        .fail("reserve", &[Fault::Refuse(Code::FailedPrecondition)]);
    assert_eq!(
        refused(world.place(order("k", "tok_ok")).await).0,
        Code::Aborted
    );
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    let orders = world.script.keys("reserve");
    assert_ne!(orders[0], orders[1]);
    assert_eq!(world.count("SELECT COUNT(*) FROM orders").await, 1);
}

async fn a_peer_that_breaks_its_contract_is_an_internal_error(store: Store) {
    let world = World::new(store).await;
    for rpc in ["reserve", "charge"] {
        for code in [Code::Unimplemented, Code::PermissionDenied] {
            world.script.fail(rpc, &[Fault::Refuse(code)]);
            let answer = world.place(order("k", "tok_ok")).await;
            assert_eq!(refused(answer).0, Code::Internal, "{rpc} {code:?}");
        }
    }
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    assert_eq!(world.payments.takings(), 2797);
}

#[tokio::test]
async fn a_charge_that_could_not_be_recorded_is_found_again() {
    let mut server = Postgres::start();
    let url = server.database().await;
    let store = testing::prepared(&url, "orders", mesh_orders::MIGRATIONS).await;
    let world = World::new(store).await;
    let gate = Gate::shut();
    world.script.fail("charge", &[Fault::Wait(gate.clone())]);
    let call = world.start_placing(order("k", "tok_ok"));
    world.called("charge", 1).await;
    server.stop();
    gate.open();
    assert_eq!(refused(call.await.unwrap()).0, Code::Unavailable);
    assert_eq!(world.payments.takings(), 2797);

    server.start_again();
    world.pass(Duration::from_secs(10));
    let placed = until("placed", async || {
        match world.place(order("k", "tok_ok")).await {
            Err(status) if status.code() == Code::Unavailable => Err(status),
            answer => Ok(answer),
        }
    });
    expect(placed.await, Outcome::Confirmed, false);
    assert_eq!(world.script.calls(), ["reserve", "charge", "get_charge"]);
    assert_eq!(world.payments.takings(), 2797);
}
