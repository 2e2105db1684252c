//! Messages that kill their worker, on both back ends.

use std::collections::BTreeSet;

use mesh_messaging::testing::{Place, within};

use crate::{becomes, next};

mesh_messaging::on_each_queue!(
    a_message_that_kills_its_worker_takes_no_other_with_it,
    messages_that_kill_their_worker_once_all_get_through,
);

async fn a_message_that_kills_its_worker_takes_no_other_with_it(place: Place) {
    let ids = ["m-1", "m-2", "m-3", "killer", "m-4", "m-5"];
    let process = place.process().await;
    for id in ids {
        process.publish(id).await;
    }
    let mut deaths = 0;
    while deaths < 6 {
        let worker = place.process().await;
        let mut consumer = worker.consumer(10);
        loop {
            let delivery = next(&mut consumer).await;
            if delivery.id() == "killer" {
                deaths += 1;
                worker.kill().await;
                break;
            }
            // The others are only in its hand, as if it had never come to them.
            within(delivery.release()).await.unwrap();
        }
    }
    becomes(&process.queue, 5, 1).await;
    let letters = within(process.queue.dead_letters()).await.unwrap();
    assert_eq!(letters[0].id, "killer");
}

async fn messages_that_kill_their_worker_once_all_get_through(place: Place) {
    let process = place.process().await;
    for id in 0..10 {
        process.publish(&format!("m-{id}")).await;
    }
    let (mut killed, mut done) = (BTreeSet::new(), BTreeSet::new());
    while done.len() < 10 {
        let worker = place.process().await;
        let mut consumer = worker.consumer(10);
        loop {
            let delivery = next(&mut consumer).await;
            let id = delivery.id().to_owned();
            if killed.insert(id.clone()) {
                worker.kill().await;
                break;
            }
            within(delivery.ack()).await.unwrap();
            done.insert(id);
            if done.len() == 10 {
                break;
            }
        }
    }
    becomes(&process.queue, 0, 0).await;
}
