//! A peer is away: messages are held, and no deliveries are used up.

use std::net::{Ipv4Addr, SocketAddr};

use mesh_messaging::testing::Place;
use tonic::Code;

use crate::world::{World, ended, until};

mesh_messaging::on_each_queue!(
    while_a_peer_is_away_one_message_is_held_and_no_other_taken,
    a_process_that_drains_while_a_peer_is_away_gives_all_back_as_new,
    what_is_in_hand_when_the_time_is_up_is_given_back,
);

async fn while_a_peer_is_away_one_message_is_held_and_no_other_taken(place: Place) {
    let world = World::new(place).await;
    // Longer than the test takes.
    world
        .peers
        .refuse("MarkFulfilled", &[Code::Unavailable; 100]);
    let test = world.start("1ms", 2);
    for id in ["m-1", "m-2", "m-3", "m-4"] {
        world.publisher.publish(id).await;
    }
    // More tries than there are deliveries.
    until("tries", true, async || world.peers.calls().len() >= 2 * 4).await;
    let calls = world.peers.names();
    assert!(calls.iter().all(|(_, id)| *id == calls[0].1), "{calls:?}");
    let depth = world.publisher.queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.dead), (2, 0));

    world.peers.recover("MarkFulfilled");
    until("acked", 4, async || ended(&test, "acked")).await;
    world.done(0).await;
    for outcome in ["lost", "released", "dead_lettered"] {
        assert_eq!(ended(&test, outcome), 0, "{outcome}");
    }
    let spans = test.spans();
    let attempts = spans
        .iter()
        .filter(|span| span.name == "process fulfillment");
    assert!(
        attempts.clone().all(|span| span.parent.is_some()),
        "first deliveries"
    );
    assert_eq!(attempts.count(), 4);
}

async fn a_process_that_drains_while_a_peer_is_away_gives_all_back_as_new(place: Place) {
    let world = World::new(place).await;
    for id in ["m-1", "m-2", "m-3"] {
        world.publisher.publish(id).await;
    }
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let test = world.start_with_peers_at(nowhere, "1ms", 2);
    until("in hand", 1, async || {
        world.publisher.queue.depth().await.unwrap().ready
    })
    .await;
    test.drain();
    until("given back", 3, async || {
        world.publisher.queue.depth().await.unwrap().ready
    })
    .await;
    assert_eq!(ended(&test, "lost"), 0);

    let next = world.start("1ms", 10);
    until("acked", 3, async || ended(&next, "acked")).await;
    world.done(0).await;
    let spans = next.spans();
    let attempts = spans
        .iter()
        .filter(|span| span.name == "process fulfillment");
    assert_eq!(
        attempts.filter(|span| span.parent.is_some()).count(),
        3,
        "as new"
    );
}

async fn what_is_in_hand_when_the_time_is_up_is_given_back(place: Place) {
    let world = World::new(place).await;
    for id in ["m-1", "m-2", "m-3"] {
        world.publisher.publish(id).await;
    }
    let test = world.start("29s", 3);
    let ready = async || world.publisher.queue.depth().await.unwrap().ready;
    until("in hand", 0, ready).await;
    test.drain();
    test.cut();
    until("given back", 3, ready).await;
    // Also those that waited: nothing is in hand that nobody hears of.
    assert_eq!(ended(&test, "lost"), 3);
}
