//! What becomes of a message.

use mesh_messaging::testing::Place;
use tonic::Code;

use crate::world::{World, ended, until};

mesh_messaging::on_each_queue!(
    the_pieces_are_sold_then_the_order_is_marked_and_the_message_done,
    a_message_of_an_order_that_was_cancelled_is_done,
    what_can_never_work_is_a_dead_letter_at_once,
    a_fault_of_a_peer_is_a_dead_letter_after_a_few_tries,
    a_process_that_drains_finishes_what_it_has_and_takes_nothing_new,
);

async fn the_pieces_are_sold_then_the_order_is_marked_and_the_message_done(place: Place) {
    let world = World::new(place).await;
    let test = world.start("1ms", 10);
    world.publisher.publish("m-1").await;
    until("acked", 1, async || ended(&test, "acked")).await;
    world.done(0).await;
    assert!(test.runtime().readiness().is_ready());

    let calls = world.peers.calls();
    let published = &world.publisher.spans.ended()[0];
    assert_eq!(
        world.peers.names(),
        [
            ("Commit", "m-1".to_owned()),
            ("MarkFulfilled", "m-1".to_owned())
        ]
    );
    for call in &calls {
        assert_eq!(call.order, "order of m-1");
        let header = |name: &str| call.metadata.get(name).unwrap().to_str().unwrap();
        assert!(header("traceparent").contains(&published.trace_id.to_string()));
        assert!(!header("grpc-timeout").is_empty());
    }
    let spans = test.spans();
    let consumed = spans.iter().find(|span| span.name == "process fulfillment");
    assert_eq!(consumed.unwrap().parent, Some(published.span_id));
}

async fn a_message_of_an_order_that_was_cancelled_is_done(place: Place) {
    let world = World::new(place).await;
    world.peers.refuse("Commit", &[Code::FailedPrecondition]);
    let test = world.start("1ms", 10);
    world.publisher.publish("m-1").await;
    until("acked", 1, async || ended(&test, "acked")).await;
    world.done(0).await;
    assert_eq!(world.peers.names(), [("Commit", "m-1".to_owned())]);
}

async fn what_can_never_work_is_a_dead_letter_at_once(place: Place) {
    let world = World::new(place).await;
    world
        .peers
        .refuse("Commit", &[Code::NotFound, Code::InvalidArgument]);
    world
        .peers
        .refuse("MarkFulfilled", &[Code::NotFound, Code::FailedPrecondition]);
    let test = world.start("1ms", 1);
    world.publisher.publish_body(b"no message").await.unwrap();
    for id in ["m-1", "m-2", "m-3", "m-4", "m-5"] {
        world.publisher.publish(id).await;
    }
    until("acked", 1, async || ended(&test, "acked")).await;
    world.done(5).await;
    assert_eq!(ended(&test, "dead_lettered"), 5);
    let dead = world.publisher.queue.dead_letters().await.unwrap();
    assert!(dead[0].reason.contains("malformed"), "{dead:#?}");
    assert!(dead[1].reason.contains("Commit"), "{dead:#?}");
    assert_eq!(world.peers.calls().len(), 5 + 3, "each was tried once");
}

async fn a_fault_of_a_peer_is_a_dead_letter_after_a_few_tries(place: Place) {
    let world = World::new(place).await;
    world.peers.refuse("Commit", &[Code::Internal; 5]);
    world.peers.refuse("MarkFulfilled", &[Code::Aborted]);
    let test = world.start("1ms", 10);
    world.publisher.publish("broken").await;
    world.publisher.publish("slow").await;
    until("acked", 1, async || ended(&test, "acked")).await;
    world.done(1).await;
    let names = world.peers.names();
    let tries = |id: &str| names.iter().filter(|(_, message)| message == id).count();
    assert_eq!((tries("broken"), tries("slow")), (5, 4));
}

async fn a_process_that_drains_finishes_what_it_has_and_takes_nothing_new(place: Place) {
    let world = World::new(place).await;
    for n in 0..8 {
        world.publisher.publish(&format!("m-{n}")).await;
    }
    let test = world.start("100ms", 3);
    until("first", true, async || !world.peers.calls().is_empty()).await;
    test.drain();
    let at_once = world.peers.calls().len();
    // It ends by itself: the rest is for others, and as good as new.
    let other = world.place.process().await;
    until("released by the stopped one", true, async || {
        let depth = other.queue.depth().await.unwrap();
        let acked = ended(&test, "acked");
        depth.ready + acked == 8
    })
    .await;
    let finished = ended(&test, "acked");
    assert!((1..=4).contains(&finished), "{finished}, {at_once}");
    assert_eq!((ended(&test, "lost"), ended(&test, "released")), (0, 0));
    let mut consumer = other.consumer(10);
    for _ in finished..8 {
        let delivery = consumer.next().await.unwrap();
        // What the broker had pushed when the process stopped may have counted one delivery, of five.
        assert!(delivery.attempt() <= 2, "{delivery:?}");
        delivery.ack().await.unwrap();
    }
}
