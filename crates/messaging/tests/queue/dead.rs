//! Dead letters, on both back ends.

use mesh_messaging::{
    DeadLetter, Replay,
    testing::{Place, message, within},
};

use crate::{becomes, next};

mesh_messaging::on_each_queue!(
    a_message_delivered_too_often_is_a_dead_letter,
    a_poisonous_message_is_a_dead_letter_at_once,
    however_long_its_reason_is,
    dead_letters_are_listed_and_replayed,
    looking_at_dead_letters_does_them_no_harm,
);

async fn a_message_delivered_too_often_is_a_dead_letter(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    process.publish("m-1").await;
    for attempt in 1..=6 {
        assert_eq!(next(&mut consumer).await.attempt(), attempt);
    }
    becomes(&process.queue, 0, 1).await;
    let letters = within(process.queue.dead_letters()).await.unwrap();
    assert_eq!(letters[0].id, "m-1");
    assert_eq!(
        letters[0].reason,
        "delivered too often without being settled"
    );
    assert_eq!(letters[0].deliveries, Some(6));
    assert!(letters[0].died_at.is_some());
}

async fn a_poisonous_message_is_a_dead_letter_at_once(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    within(process.publish_body(b"not json")).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.body(), b"not json");
    let malformed = delivery.message().unwrap_err();
    within(delivery.dead_letter(malformed.to_string()))
        .await
        .unwrap();
    becomes(&process.queue, 0, 1).await;
    let letters = within(process.queue.dead_letters()).await.unwrap();
    assert_eq!(letters[0].body, b"not json");
    assert!(letters[0].id.starts_with("unnamed-"), "{letters:?}");
    assert!(
        letters[0].reason.starts_with("malformed message: "),
        "{letters:?}"
    );
    assert_eq!(letters[0].deliveries, Some(1));
    assert!(letters[0].died_at.is_some());
}

/// A reason may quote what a stranger wrote, and is carried in one frame.
async fn however_long_its_reason_is(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    process.publish("m-1").await;
    let delivery = next(&mut consumer).await;
    within(delivery.dead_letter("é".repeat(100_000)))
        .await
        .unwrap();
    becomes(&process.queue, 0, 1).await;
    let letters = within(process.queue.dead_letters()).await.unwrap();
    assert_eq!(letters[0].reason, format!("{}…", "é".repeat(500)));
    assert_eq!(letters[0].deliveries, Some(1));
}

async fn dead_letters_are_listed_and_replayed(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    for id in ["m-1", "m-2", "m-3"] {
        process.publish(id).await;
        let delivery = next(&mut consumer).await;
        within(delivery.dead_letter(format!("{id} is bad")))
            .await
            .unwrap();
    }
    let ids = async || {
        let letters = within(process.queue.dead_letters()).await.unwrap();
        letters
            .into_iter()
            .map(|letter| (letter.id, letter.reason))
            .collect::<Vec<_>>()
    };
    let bad = |id: &str| (id.to_owned(), format!("{id} is bad"));
    becomes(&process.queue, 0, 3).await;
    assert_eq!(ids().await, [bad("m-1"), bad("m-2"), bad("m-3")]);

    let one = Replay::Id("m-2".to_owned());
    assert_eq!(within(process.queue.replay(&one)).await, Ok(1));
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.id(), delivery.attempt()), ("m-2", 1));
    assert_eq!(delivery.message(), Ok(message("m-2")));
    within(delivery.ack()).await.unwrap();
    assert_eq!(within(process.queue.replay(&one)).await, Ok(0));
    assert_eq!(ids().await, [bad("m-1"), bad("m-3")]);

    assert_eq!(within(process.queue.replay(&Replay::All)).await, Ok(2));
    for id in ["m-1", "m-3"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.id(), id);
        within(delivery.ack()).await.unwrap();
    }
    becomes(&process.queue, 0, 0).await;
}

async fn looking_at_dead_letters_does_them_no_harm(place: Place) {
    let process = place.process().await;
    let mut consumer = process.consumer(10);
    within(process.publish_body(b"junk")).await.unwrap();
    within(next(&mut consumer).await.dead_letter("junk"))
        .await
        .unwrap();
    let first = within(process.queue.dead_letters()).await.unwrap();
    // More often than a broker delivers where no limit is declared.
    for _ in 0..30 {
        let again = within(process.queue.dead_letters()).await.unwrap();
        assert_eq!(again.len(), 1);
        let told =
            |letter: &DeadLetter| (letter.id.clone(), letter.reason.clone(), letter.deliveries);
        assert_eq!(told(&again[0]), told(&first[0]));
    }
}
