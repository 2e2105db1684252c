//! Cancelling: the stock decides, then the money goes back, and every call may be repeated.

use mesh_proto::orders::v1::{Order, OrderStatus, place_order_response::Outcome};
use mesh_store::Store;
use tonic::Code;

use crate::{
    fakes::{Fault, Gate},
    world::{World, expect, order, refused, until},
};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_confirmed_order_is_released_and_refunded,
    what_is_sold_cannot_be_cancelled,
    only_a_confirmed_order_can_be_cancelled,
    a_refund_that_fails_stays_due_and_is_made_by_the_repeat,
    a_release_that_fails_leaves_the_order_confirmed_and_the_wish_recorded,
    two_at_once_both_see_it_cancelled,
    a_caller_that_goes_away_does_not_stop_it,
);

const REFUNDS_DUE: &str = "SELECT COUNT(*) FROM orders WHERE refund_due_at IS NOT NULL";
const WISHES: &str = "SELECT COUNT(*) FROM orders WHERE cancel_requested_at IS NOT NULL";

async fn confirmed(world: &World) -> Order {
    expect(
        world.place(order("k", "tok_ok")).await,
        Outcome::Confirmed,
        false,
    )
}

async fn a_confirmed_order_is_released_and_refunded(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    let cancelled = world.cancel(&placed.id).await.unwrap();
    assert_eq!(cancelled.status(), OrderStatus::Cancelled);
    assert_eq!(
        world.script.calls(),
        ["reserve", "charge", "release", "refund"]
    );
    assert_eq!(
        (world.inventory.taken("mug"), world.payments.takings()),
        (0, 0)
    );
    assert_eq!(world.count(REFUNDS_DUE).await, 0);
    assert_eq!(world.count(WISHES).await, 0);
    assert_eq!(world.get(&placed.id).await.unwrap(), cancelled);

    assert_eq!(world.cancel(&placed.id).await.unwrap(), cancelled);
    assert_eq!(world.script.calls().len(), 4, "there is nothing left to do");
}

async fn what_is_sold_cannot_be_cancelled(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    world.inventory.commit(&placed.id);
    assert_eq!(
        refused(world.cancel(&placed.id).await).0,
        Code::FailedPrecondition
    );
    assert_eq!(world.get(&placed.id).await.unwrap(), placed);
    assert_eq!(world.payments.takings(), 2797);
    assert_eq!(world.count(WISHES).await, 0);
}

async fn only_a_confirmed_order_can_be_cancelled(store: Store) {
    let world = World::new(store).await;
    for id in ["", "42", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "\0"] {
        assert_eq!(refused(world.cancel(id).await).0, Code::NotFound, "{id:?}");
    }
    let failed = expect(
        world.place(order("f", "tok_declined")).await,
        Outcome::Declined,
        false,
    );
    assert_eq!(
        refused(world.cancel(&failed.id).await).0,
        Code::FailedPrecondition
    );

    let fulfilled = confirmed(&world).await;
    world
        .alter("UPDATE orders SET status = 'fulfilled' WHERE status = 'confirmed'")
        .await;
    assert_eq!(
        refused(world.cancel(&fulfilled.id).await).0,
        Code::FailedPrecondition
    );
    assert_eq!(world.script.keys("release"), [failed.id]);
}

async fn a_refund_that_fails_stays_due_and_is_made_by_the_repeat(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    world
        .script
        .fail("refund", &[Fault::Refuse(Code::Unavailable)]);
    let cancelled = world.cancel(&placed.id).await.unwrap();
    assert_eq!(cancelled.status(), OrderStatus::Cancelled);
    assert_eq!(
        (world.count(REFUNDS_DUE).await, world.payments.takings()),
        (1, 2797)
    );
    assert_eq!(world.cancel(&placed.id).await.unwrap(), cancelled);
    assert_eq!(
        (world.count(REFUNDS_DUE).await, world.payments.takings()),
        (0, 0)
    );
}

async fn a_release_that_fails_leaves_the_order_confirmed_and_the_wish_recorded(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    world
        .script
        .fail("release", &[Fault::Refuse(Code::Unavailable)]);
    assert_eq!(refused(world.cancel(&placed.id).await).0, Code::Unavailable);
    assert_eq!(world.count(WISHES).await, 1);
    assert_eq!(world.get(&placed.id).await.unwrap(), placed);
    assert_eq!(world.payments.takings(), 2797);

    // It was released, but nobody has heard of it.
    world
        .script
        .fail("release", &[Fault::LoseAnswer(Code::DeadlineExceeded)]);
    assert_eq!(
        refused(world.cancel(&placed.id).await).0,
        Code::DeadlineExceeded
    );
    assert_eq!(
        world.cancel(&placed.id).await.unwrap().status(),
        OrderStatus::Cancelled
    );
    assert_eq!(
        (world.count(WISHES).await, world.payments.takings()),
        (0, 0)
    );
}

async fn two_at_once_both_see_it_cancelled(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    let gates = [Gate::shut(), Gate::shut()];
    world
        .script
        .fail("release", &gates.clone().map(Fault::Wait));
    let both = async { tokio::join!(world.cancel(&placed.id), world.cancel(&placed.id)) };
    let open = async {
        world.called("release", 2).await;
        gates.iter().for_each(Gate::open);
    };
    let ((first, second), ()) = tokio::join!(both, open);
    assert_eq!(first.unwrap(), second.unwrap());
    world.counted(REFUNDS_DUE, 0).await;
    assert_eq!(world.payments.takings(), 0);
}

async fn a_caller_that_goes_away_does_not_stop_it(store: Store) {
    let world = World::new(store).await;
    let placed = confirmed(&world).await;
    let gate = Gate::shut();
    world.script.fail("release", &[Fault::Wait(gate.clone())]);
    tokio::select! {
        answer = world.cancel(&placed.id) => panic!("answered: {answer:?}"),
        () = world.called("release", 1) => {}
    }
    gate.open();
    until("cancelled", async || {
        let order = world.get(&placed.id).await.unwrap();
        (order.status() == OrderStatus::Cancelled)
            .then_some(())
            .ok_or(order)
    })
    .await;
    world.counted(REFUNDS_DUE, 0).await;
    assert_eq!(world.payments.takings(), 0);
}
