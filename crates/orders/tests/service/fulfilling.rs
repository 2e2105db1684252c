//! Marking orders as fulfilled: once, whatever is repeated, and never one that was cancelled.

use std::time::Duration;

use mesh_proto::orders::v1::{OrderStatus, place_order_response::Outcome};
use mesh_store::Store;
use tonic::Code;

use crate::{
    fakes::Fault,
    world::{World, expect, order, refused},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_confirmed_order_is_fulfilled_once_however_often_it_is_said,
    only_a_confirmed_order_can_be_fulfilled,
    a_wish_to_cancel_that_came_too_late_is_dropped,
);

const BY_FIRST: &str =
    "SELECT COUNT(*) FROM orders WHERE status = 'fulfilled' AND fulfilled_by = 'm-1'";

async fn a_confirmed_order_is_fulfilled_once_however_often_it_is_said(store: Store) {
    let world = World::new(store).await;
    let placed = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    world.pass(Duration::from_secs(1));
    world.fulfil(&placed.id, "m-1").await.unwrap();
    let fulfilled = world.get(&placed.id).await.unwrap();
    assert_eq!(fulfilled.status(), OrderStatus::Fulfilled);
    assert_eq!(fulfilled.updated_at_us, placed.updated_at_us + 1_000_000);

    world.pass(Duration::from_secs(1));
    let (again, other) = tokio::join!(
        world.fulfil(&placed.id, "m-1"),
        world.fulfil(&placed.id, "m-2")
    );
    again.unwrap();
    other.unwrap();
    assert_eq!(world.get(&placed.id).await.unwrap(), fulfilled);
    assert_eq!(world.count(BY_FIRST).await, 1, "the first did it");
    assert_eq!(
        refused(world.cancel(&placed.id).await).0,
        Code::FailedPrecondition
    );
    assert_eq!(world.script.calls(), ["reserve", "charge"]);
}

async fn only_a_confirmed_order_can_be_fulfilled(store: Store) {
    let world = World::new(store).await;
    for id in ["", "42", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "\0"] {
        let answer = world.fulfil(id, "m-1").await;
        assert_eq!(refused(answer).0, Code::NotFound, "{id:?}");
    }
    let failed = expect(
        world.place(order("f", "tok_declined")).await,
        Outcome::Declined,
        false,
    );
    world
        .script
        .fail("charge", &[Fault::Refuse(Code::DeadlineExceeded)]);
    let pending = expect(
        world.place(order("p", "tok_ok")).await,
        Outcome::Pending,
        false,
    );
    let cancelled = expect(
        world.place(order("c", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    world.cancel(&cancelled.id).await.unwrap();
    for (order, code) in [
        (&failed, Code::FailedPrecondition),
        (&cancelled, Code::FailedPrecondition),
        (&pending, Code::Aborted),
    ] {
        let before = world.get(&order.id).await.unwrap();
        assert_eq!(refused(world.fulfil(&order.id, "m-1").await).0, code);
        assert_eq!(world.get(&order.id).await.unwrap(), before);
    }
    for id in ["", "\0", &"x".repeat(256)] {
        let answer = world.fulfil(&cancelled.id, id).await;
        assert_eq!(refused(answer).0, Code::InvalidArgument, "{id:?}");
    }
}

async fn a_wish_to_cancel_that_came_too_late_is_dropped(store: Store) {
    let world = World::new(store).await;
    let placed = expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    );
    world
        .script
        .fail("release", &[Fault::Refuse(Code::Unavailable)]);
    assert_eq!(refused(world.cancel(&placed.id).await).0, Code::Unavailable);
    world.inventory.commit(&placed.id);
    world.fulfil(&placed.id, "m-1").await.unwrap();
    let wishes = "SELECT COUNT(*) FROM orders WHERE cancel_requested_at IS NOT NULL";
    assert_eq!(world.count(wishes).await, 0);
    assert_eq!(world.payments.takings(), 2797);
}
