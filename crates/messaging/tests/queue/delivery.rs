//! A message's way from the publisher to its acknowledgement, on both back ends.

use mesh_messaging::{
    ConsumerConfig, Delivery, Error, Headers, Message, Replay,
    testing::{LEASE, Place, Process, message, within},
};
use tokio::time::timeout;
use tokio_test::{assert_pending, task::spawn};

use crate::{becomes, next, take};

mesh_messaging::on_each_queue!(
    a_message_is_delivered_once_and_gone_after_its_ack,
    a_message_whose_worker_dies_comes_back,
    a_message_that_is_dropped_comes_back_at_once,
    a_message_for_which_there_is_no_queue_is_refused,
    no_more_than_the_prefetch_is_in_hand,
    work_is_shared_among_processes,
    a_message_that_is_held_costs_nothing_and_none_is_taken_for_it,
    a_released_message_goes_to_the_end_and_has_used_up_nothing,
    a_consumer_that_is_stopped_hands_out_what_it_has_and_ends,
    closing_loses_no_ack_and_gives_back_the_rest,
    without_a_connection_everything_fails_at_once,
    what_happened_is_counted,
);

async fn a_message_is_delivered_once_and_gone_after_its_ack(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    process.publish("m-1").await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.id(), "m-1");
    assert_eq!(delivery.attempt(), 1);
    assert_eq!(delivery.message(), Ok(message("m-1")));
    within(delivery.ack()).await.unwrap();
    process.publish("m-2").await;
    assert_eq!(next(&mut consumer).await.id(), "m-2", "m-1 is gone");
}

async fn a_message_whose_worker_dies_comes_back(place: Place) {
    let victim = place.process().await;
    victim.publish("m-1").await;
    let mut consumer = victim.consumer(10);
    let lost = next(&mut consumer).await;
    victim.kill().await;

    let process = place.process().await;
    let mut consumer = process.consumer(10);
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.id(), delivery.attempt()), ("m-1", 2));
    assert_eq!(within(lost.ack()).await, Err(Error::Lost));
    within(delivery.ack()).await.unwrap();
    becomes(&process.queue, 0, 0).await;
}

async fn a_message_that_is_dropped_comes_back_at_once(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    process.publish("m-1").await;
    drop(next(&mut consumer).await);
    assert_eq!(next(&mut consumer).await.attempt(), 2);
}

async fn a_message_for_which_there_is_no_queue_is_refused(place: Place) {
    let process = place.process().await;
    let unknown = Message {
        kind: "order.unheard_of".to_owned(),
        ..message("m-1")
    };
    let published = within(process.queue.publish(&unknown, &Headers::default())).await;
    assert!(
        matches!(published, Err(Error::Refused { .. })),
        "{published:?}"
    );
    process.publish("m-2").await;
    becomes(&process.queue, 1, 0).await;
}

async fn no_more_than_the_prefetch_is_in_hand(place: Place) {
    let process = place.process().await;
    for id in 0..5 {
        process.publish(&format!("m-{id}")).await;
    }
    let mut consumer = process.consumer(2);
    let mut taken = take(&mut consumer, 2).await;
    becomes(&process.queue, 3, 0).await;
    {
        let mut third = spawn(consumer.next());
        assert_pending!(third.poll());
    }
    within(taken.remove(0).ack()).await.unwrap();
    taken.push(next(&mut consumer).await);
    becomes(&process.queue, 2, 0).await;
}

async fn work_is_shared_among_processes(place: Place) {
    let (one, other) = (place.process().await, place.process().await);
    let (mut ours, mut theirs) = (one.consumer(10), other.consumer(10));
    // Both consume before there is work.
    for (process, consumer) in [(&one, &mut ours), (&other, &mut theirs)] {
        process.publish("warm-up").await;
        within(async {
            tokio::select! {
                delivery = consumer.next() => delivery.expect("it is not stopped").ack().await,
                () = becomes(&process.queue, 0, 0) => Ok(()),
            }
        })
        .await
        .unwrap();
    }
    let publish = (0..8).map(|id| {
        let one = &one;
        async move { one.publish(&format!("m-{id}")).await }
    });
    futures_util::future::join_all(publish).await;
    let (first, second) = (next(&mut ours).await, next(&mut theirs).await);
    assert_ne!(first.id(), second.id());
}

async fn a_message_that_is_held_costs_nothing_and_none_is_taken_for_it(place: Place) {
    let (process, other) = (place.process().await, place.process().await);
    for id in ["m-1", "m-2"] {
        process.publish(id).await;
    }
    let mut consumer = process.consumer(2);
    let held = next(&mut consumer).await;
    becomes(&process.queue, 0, 0).await;
    let mut idle = other.consumer(10);
    let waited = timeout(2 * LEASE, idle.next()).await;
    assert!(waited.is_err(), "nobody gets what is held: {waited:?}");
    assert!(!held.held_too_long());
    within(held.ack()).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.id(), delivery.attempt()), ("m-2", 1));
}

async fn a_released_message_goes_to_the_end_and_has_used_up_nothing(place: Place) {
    let process = place.process().await;
    process.publish("m-1").await;
    let mut consumer = process.consumer(1);
    // It has come back once: that is forgotten too.
    drop(next(&mut consumer).await);
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.attempt(), 2);
    process.publish("m-2").await;
    within(delivery.release()).await.unwrap();
    for _ in 0..8 {
        for id in ["m-2", "m-1"] {
            let delivery = next(&mut consumer).await;
            assert_eq!((delivery.id(), delivery.attempt()), (id, 1));
            within(delivery.release()).await.unwrap();
        }
    }
}

async fn a_consumer_that_is_stopped_hands_out_what_it_has_and_ends(place: Place) {
    let process = place.process().await;
    for id in 0..4 {
        process.publish(&format!("m-{id}")).await;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let config = ConsumerConfig { prefetch: 2 };
    let mut consumer = process.queue.consumer(config, async {
        let _ = stopped.await;
    });
    let first = next(&mut consumer).await;
    becomes(&process.queue, 2, 0).await;
    stop.send(()).unwrap();
    // Room in its hand would now be filled by a consumer that is not stopped.
    let second = next(&mut consumer).await;
    within(first.ack()).await.unwrap();
    within(second.ack()).await.unwrap();
    assert!(within(consumer.next()).await.is_none());
    becomes(&process.queue, 2, 0).await;
    let mut successor = process.consumer(10);
    for delivery in take(&mut successor, 2).await {
        assert_eq!(delivery.attempt(), 1);
    }
}

async fn closing_loses_no_ack_and_gives_back_the_rest(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    process.publish("m-1").await;
    process.publish("m-2").await;
    let [first, second] = <[Delivery; 2]>::try_from(take(&mut consumer, 2).await).unwrap();
    within(first.ack()).await.unwrap();
    within(process.queue.close()).await;
    assert!(within(consumer.next()).await.is_none());
    assert_eq!(within(second.ack()).await, Err(Error::Lost));

    let successor = place.process().await;
    becomes(&successor.queue, 1, 0).await;
    let mut consumer = successor.consumer(10);
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.id(), delivery.attempt()), ("m-2", 2));
}

async fn without_a_connection_everything_fails_at_once(place: Place) {
    let process = Process::start(&place.config());
    let published = process
        .queue
        .publish(&message("m-1"), &Headers::default())
        .await;
    assert_eq!(
        published.unwrap_err().to_string(),
        "queue unavailable: not connected yet"
    );
    process.connected().await;
    within(process.queue.close()).await;
    let closed = "queue unavailable: closed";
    let published = process
        .queue
        .publish(&message("m-1"), &Headers::default())
        .await;
    assert_eq!(published.unwrap_err().to_string(), closed);
    assert_eq!(process.queue.depth().await.unwrap_err().to_string(), closed);
    let replayed = process.queue.replay(&Replay::All).await;
    assert_eq!(replayed.unwrap_err().to_string(), closed);
    let letters = process.queue.dead_letters().await;
    assert_eq!(letters.unwrap_err().to_string(), closed);
}

async fn what_happened_is_counted(place: Place) {
    let process = place.process().await;
    let at = |line: &str| process.metrics().lines().any(|found| found == line);
    assert!(at(
        "queue_messages_published_total{queue=\"fulfillment\"} 0"
    ));
    let mut consumer = process.consumer(10);
    for id in ["m-1", "m-2", "m-3", "m-4"] {
        process.publish(id).await;
    }
    let mut taken = take(&mut consumer, 4).await;
    within(taken.pop().unwrap().ack()).await.unwrap();
    within(taken.pop().unwrap().dead_letter("bad"))
        .await
        .unwrap();
    within(taken.pop().unwrap().release()).await.unwrap();
    drop(taken);
    for line in [
        "queue_messages_published_total{queue=\"fulfillment\"} 4",
        "queue_messages_consumed_total{outcome=\"acked\",queue=\"fulfillment\"} 1",
        "queue_messages_consumed_total{outcome=\"dead_lettered\",queue=\"fulfillment\"} 1",
        "queue_messages_consumed_total{outcome=\"released\",queue=\"fulfillment\"} 1",
        "queue_messages_consumed_total{outcome=\"lost\",queue=\"fulfillment\"} 1",
        "queue_message_duration_seconds_count{queue=\"fulfillment\"} 4",
    ] {
        assert!(at(line), "{line} in {}", process.metrics());
    }
}
