use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use mesh_chassis::testing::TestRuntime;
use mesh_config::Secret;
use mesh_context::{Policy, RequestContext};
use mesh_messaging::{
    Consumer,
    testing::{self, LIMIT, Place, Process, within},
};
use mesh_store::Store;
use prometheus::Registry;

use super::*;
use crate::{
    hold::Lease,
    order::{Event, Line, Record},
    outbox,
    placement::Placement,
    store::{Claim, KeyChange},
};

mesh_store::on_each_database!(
    "orders",
    crate::MIGRATIONS,
    a_message_is_published_with_its_trace_as_soon_as_it_is_recorded,
    two_relays_publish_every_message_once,
    a_queue_that_is_away_delays_and_loses_nothing,
    what_a_dead_relay_took_is_published_when_its_time_is_over,
    what_could_not_be_published_may_be_taken_again_at_once,
);

fn context() -> RequestContext {
    RequestContext::for_task("test", LIMIT, &Policy::inside(LIMIT))
}

/// An order is confirmed.
async fn confirm(store: &OrderStore, key: &str) -> RequestContext {
    let (ctx, now) = (context(), SystemTime::now().into());
    let lease = Lease {
        key: key.to_owned(),
        holder: "holder".to_owned(),
    };
    let placement = Placement {
        key: key.to_owned(),
        fingerprint: "0f".to_owned(),
        session: String::new(),
        lines: vec![Line {
            sku: "mug".to_owned(),
            quantity: 1,
        }],
        payment_token: Secret::new("tok_ok"),
    };
    let begin = |id| Ok(Record::new(id, &placement, "{}".to_owned(), now));
    let deadline = ctx.deadline();
    let claim = store.claim(&lease, &placement, begin, now, deadline).await;
    let Claim::Taken(mut record) = claim.unwrap() else {
        panic!("{key} is new");
    };
    for event in [Event::Reserved, Event::Charged] {
        record.apply(event, now).unwrap();
    }
    let message = outbox::Message::confirmed(record.order.id, &ctx, now);
    let key = KeyChange::Unlock;
    store
        .advance(&lease, &record, key, Some(&message), deadline)
        .await
        .unwrap();
    ctx
}

/// A relay at work; its figures.
fn start(test: &TestRuntime, store: &OrderStore, queue: Queue, clock: Clock) -> Metrics {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let relay = Relay {
        store: store.clone(),
        queue,
        tasks: test.runtime().tasks().clone(),
        clock,
    };
    relay.start(metrics.clone());
    metrics
}

async fn is_empty(store: &OrderStore) {
    let empty = async {
        while store.backlog(Deadline::after(LIMIT)).await.unwrap().pending > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(empty).await;
}

async fn next(consumer: &mut Consumer) -> mesh_messaging::Delivery {
    within(consumer.next()).await.expect("it is not stopped")
}

async fn a_message_is_published_with_its_trace_as_soon_as_it_is_recorded(store: Store) {
    let (store, place, test) = (OrderStore::new(store), Place::file(), TestRuntime::new());
    let (process, worker) = (place.process().await, place.process().await);
    start(&test, &store, process.queue.clone(), Clock::system());
    let mut consumer = worker.consumer(1);
    let ctx = confirm(&store, "one").await;
    let mut delivery = next(&mut consumer).await;
    assert_eq!(delivery.context(LIMIT).trace_id(), ctx.trace_id());
    assert_eq!(delivery.message().unwrap().kind, "order.confirmed");
    delivery.ack().await.unwrap();
    is_empty(&store).await;
}

async fn two_relays_publish_every_message_once(store: Store) {
    const MESSAGES: usize = 2 * BATCH + 50;
    let (store, place, test) = (OrderStore::new(store), Place::file(), TestRuntime::new());
    for n in 0..MESSAGES {
        confirm(&store, &format!("order-{n}")).await;
    }
    let relays = [place.process().await, place.process().await];
    for process in &relays {
        start(&test, &store, process.queue.clone(), Clock::system());
    }
    is_empty(&store).await;
    let worker = place.process().await;
    assert_eq!(worker.queue.depth().await.unwrap().ready, MESSAGES as u64);
    let mut consumer = worker.consumer(10);
    let mut ids = BTreeSet::new();
    while ids.len() < MESSAGES {
        let delivery = next(&mut consumer).await;
        assert!(ids.insert(delivery.id().to_owned()), "published twice");
        delivery.ack().await.unwrap();
    }
}

async fn a_queue_that_is_away_delays_and_loses_nothing(store: Store) {
    let (store, test) = (OrderStore::new(store), TestRuntime::new());
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder of the queue should be.
    let blocked = folder.path().join("made");
    fs::write(&blocked, "").unwrap();
    let url = format!("sqlite://{}/queue.db", blocked.display());
    let process = Process::start(&testing::config(&url));
    let metrics = start(&test, &store, process.queue.clone(), Clock::system());
    confirm(&store, "one").await;
    let seen = async {
        while metrics.pending.get() != 1 || metrics.lag.get() <= 0.0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(seen).await;
    fs::remove_file(&blocked).unwrap();
    is_empty(&store).await;
    let depth = process.queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.dead), (1, 0));
    let seen = async {
        while metrics.pending.get() != 0 || metrics.lag.get() > 0.0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(seen).await;
}

async fn what_a_dead_relay_took_is_published_when_its_time_is_over(store: Store) {
    let (store, place, test) = (OrderStore::new(store), Place::file(), TestRuntime::new());
    let now = Arc::new(Mutex::new(SystemTime::now()));
    let clock = {
        let now = Arc::clone(&now);
        Clock::new(move || *now.lock().unwrap())
    };
    confirm(&store, "dead").await;
    let until = clock.now().plus(TAKEN);
    let taken = store.take_messages(10, clock.now(), until, Deadline::after(LIMIT));
    let taken = taken.await.unwrap();
    assert_eq!(taken.len(), 1);

    let process = place.process().await;
    start(&test, &store, process.queue.clone(), clock);
    confirm(&store, "alive").await;
    let mut consumer = process.consumer(1);
    let delivery = next(&mut consumer).await;
    assert_ne!(delivery.id(), taken[0].id, "it is another relay's");
    delivery.ack().await.unwrap();

    *now.lock().unwrap() += TAKEN;
    assert_eq!(next(&mut consumer).await.id(), taken[0].id);
}

async fn what_could_not_be_published_may_be_taken_again_at_once(store: Store) {
    let store = OrderStore::new(store);
    confirm(&store, "one").await;
    let limit = || Deadline::after(LIMIT);
    let now = Clock::system().now();
    let taken = store.take_messages(10, now, now.plus(TAKEN), limit()).await;
    let id = taken.unwrap().remove(0).id;
    // What could not be published may be taken again at once.
    store.mark_messages(&[], &[id], now, limit()).await.unwrap();
    let again = store.take_messages(10, now, now.plus(TAKEN), limit()).await;
    let id = again.unwrap().remove(0).id;
    store.mark_messages(&[id], &[], now, limit()).await.unwrap();
    let later = now.plus(2 * TAKEN);
    let taken = store.take_messages(10, later, later, limit()).await;
    assert!(taken.unwrap().is_empty());
}
