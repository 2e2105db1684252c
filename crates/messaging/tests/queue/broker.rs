//! What only a broker does: it goes away, it is full, somebody else has changed it.

use std::{collections::BTreeSet, time::Duration};

use http::{HeaderMap, HeaderValue};
use mesh_messaging::{
    Consumer, Error, Headers,
    testing::{LIMIT, Place, Process, RabbitMq, message, within},
};
use tokio::{
    join,
    time::{Instant, timeout},
};

use crate::{becomes, next};

/// Publishes until it is confirmed, as a relay does.
async fn relay(process: &Process, id: &str) {
    let (message, headers) = (message(id), Headers::default());
    while process.queue.publish(&message, &headers).await.is_err() {
        let mut connected = process.queue.connected();
        let _ = connected.wait_for(|connected| *connected).await;
    }
}

/// Works until it has seen all of them, as idempotently as everybody must.
async fn work(consumer: &mut Consumer, count: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let delivery = next(consumer).await;
        seen.insert(delivery.id().to_owned());
        let _ = delivery.ack().await;
    }
}

/// Publishes and consumes 300 messages while `disturb` disturbs the broker.
async fn nothing_is_lost(place: &Place, disturb: impl Fn()) {
    let (publisher, worker) = (place.process().await, place.process().await);
    let mut consumer = worker.consumer(10);
    publisher.publish("held").await;
    let held = next(&mut consumer).await;

    let publish = async {
        for id in 0..300 {
            if id == 100 {
                disturb();
            }
            relay(&publisher, &format!("m-{id}")).await;
        }
    };
    // One more, which was in hand when the broker went.
    timeout(LIMIT, async { join!(publish, work(&mut consumer, 301)) })
        .await
        .expect("everything arrives");
    assert_eq!(held.ack().await, Err(Error::Lost));
    becomes(&publisher.queue, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_the_work_loses_nothing() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    nothing_is_lost(&place, || {
        broker.ctl("stop_app");
        broker.ctl("start_app");
    })
    .await;
    // Not on a new broker: 3.10 writes down only after a second who leads a queue, and finds no leader without that.
    nothing_is_lost(&place, || {
        broker.kill();
        broker.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_publishing_fails_at_once_and_it_comes_back_by_itself() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    let process = place.process().await;
    broker.ctl("stop_app");
    process.away().await;
    let asked = Instant::now();
    let (message, headers) = (message("m-1"), Headers::default());
    let published = process.queue.publish(&message, &headers).await;
    assert!(
        matches!(published, Err(Error::Unavailable { .. })),
        "{published:?}"
    );
    assert!(asked.elapsed() < Duration::from_secs(1));

    // A process that starts meanwhile.
    let late = Process::start(&place.config());
    let mut consumer = late.consumer(1);
    broker.ctl("start_app");
    process.connected().await;
    process.publish("m-2").await;
    assert_eq!(next(&mut consumer).await.id(), "m-2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_takes_no_messages_but_still_takes_acks() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    let process = place.process().await;
    let mut consumer = process.consumer(1);
    process.publish("m-1").await;
    process.publish("m-2").await;
    let held = next(&mut consumer).await;
    broker.ctl("set_vm_memory_high_watermark 0.000001");
    let (message, headers) = (message("m-3"), Headers::default());
    let published = within(process.queue.publish(&message, &headers)).await;
    assert_eq!(
        published.unwrap_err().to_string(),
        "queue unavailable: not confirmed within 5s"
    );
    within(held.ack()).await.unwrap();
    let held = next(&mut consumer).await;
    assert_eq!(held.id(), "m-2", "the broker has got the ack");
    broker.ctl("set_vm_memory_high_watermark 0.4");
    within(relay(&process, "m-4")).await;
}

#[tokio::test]
async fn a_strangers_endless_header_costs_nobody_a_delivery() {
    let place = Place::rabbitmq().await;
    let stranger = Process::start(&place.config().for_any_message());
    within(stranger.connected()).await;
    let mut endless = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    endless.insert("traceparent", HeaderValue::from_static(parent));
    let state = format!("a={}", "x".repeat(60_000));
    endless.insert("tracestate", HeaderValue::from_str(&state).unwrap());
    stranger.publish("good").await;
    let (message, headers) = (message("endless"), Headers::from(endless));
    let publish = stranger.queue.publish(&message, &headers);
    within(publish).await.unwrap();

    let process = place.process().await;
    let mut consumer = process.consumer(10);
    for id in ["good", "endless"] {
        let delivery = next(&mut consumer).await;
        assert_eq!((delivery.id(), delivery.attempt()), (id, 1));
        within(delivery.dead_letter("a test")).await.unwrap();
    }
    becomes(&process.queue, 0, 2).await;
    let letters = within(process.queue.dead_letters()).await.unwrap();
    assert!(letters.iter().all(|letter| letter.deliveries == Some(1)));
}

/// Until it says so.
async fn says(process: &Process, what: &str) -> String {
    let mut last = String::new();
    let said = timeout(LIMIT, async {
        while !last.contains(what) {
            let error = process.queue.depth().await.err();
            last = error.map(|error| error.to_string()).unwrap_or_default();
            tokio::task::yield_now().await;
        }
    });
    if said.await.is_err() {
        panic!("it says {last:?}, not {what:?}");
    }
    last
}

#[tokio::test]
async fn what_is_declared_otherwise_is_named_and_the_queue_comes_once_it_is_gone() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    let host = place.url().rsplit_once('/').unwrap().1;
    let exchange = format!("/api/exchanges/{host}/shop");
    let queue = format!("/api/queues/{host}/fulfillment");
    let fanout = r#"{"type":"fanout","durable":true}"#;
    broker.manage("PUT", &exchange, fanout).await;
    let three = r#"{"durable":true,"arguments":{"x-queue-type":"quorum","x-delivery-limit":3,
        "x-overflow":"reject-publish","x-dead-letter-exchange":"shop.dead","x-dead-letter-strategy":"at-least-once"}}"#;
    broker.manage("PUT", &queue, three).await;

    let process = Process::start(&place.config());
    let said = says(&process, "exchange shop").await;
    let expected = "queue unavailable: exchange shop is there with another type: it has 'fanout', we need 'direct'; \
                    delete it (a queue once it is empty), and it is declared anew";
    assert_eq!(said, expected);
    broker.manage("DELETE", &exchange, "").await;
    let said = says(&process, "queue fulfillment").await;
    assert!(
        said.contains(
            "queue fulfillment is there with another x-delivery-limit: it has '3', we need '5'; "
        ),
        "{said}"
    );
    broker.manage("DELETE", &queue, "").await;
    process.connected().await;
    process.publish("m-1").await;
}

#[tokio::test]
async fn what_is_deleted_under_us_is_refused_once_and_declared_anew() {
    let broker = RabbitMq::start();
    let place = Place::on(&broker).await;
    let process = place.process().await;
    let host = place.url().rsplit_once('/').unwrap().1;
    let (message, headers) = (message("m-1"), Headers::default());
    for path in ["queues", "exchanges"] {
        let name = if path == "queues" {
            "fulfillment"
        } else {
            "shop"
        };
        let path = format!("/api/{path}/{host}/{name}");
        broker.manage("DELETE", &path, "").await;
        let published = within(process.queue.publish(&message, &headers)).await;
        assert!(published.is_err(), "{path}: {published:?}");
        process.away().await;
        process.connected().await;
        process.publish("m-2").await;
    }
    becomes(&process.queue, 2, 0).await;

    let mut consumer = process.consumer(1);
    drop(next(&mut consumer).await);
    let path = format!("/api/queues/{host}/fulfillment");
    broker.manage("DELETE", &path, "").await;
    within(relay(&process, "m-3")).await;
    let arrived = async { while next(&mut consumer).await.id() != "m-3" {} };
    within(arrived).await;
}
