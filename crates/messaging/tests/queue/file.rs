//! What only the embedded queue does.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use mesh_messaging::{
    ConsumerConfig, Error,
    testing::{Place, Process, config, opened, within},
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::timeout;

use crate::{becomes, next};

fn path(place: &Place) -> PathBuf {
    place.url().trim_start_matches("sqlite://").into()
}

#[tokio::test]
async fn the_file_and_its_folder_are_made_for_this_user_only() {
    let place = Place::file();
    let process = place.process().await;
    process.publish("m-1").await;
    let file = path(&place);
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.parent().unwrap().to_owned()), 0o700);
    assert_eq!(mode(file.clone()), 0o600);
    assert_eq!(mode(file.with_extension("db-wal")), 0o600);
}

#[tokio::test]
async fn processes_that_start_at_once_all_get_in() {
    let place = Place::file();
    let processes: Vec<_> = (0..8).map(|_| Process::start(&place.config())).collect();
    for (number, process) in processes.iter().enumerate() {
        process.connected().await;
        process.publish(&format!("m-{number}")).await;
    }
    becomes(&processes[0].queue, 8, 0).await;
}

#[tokio::test]
async fn a_place_where_no_file_can_be_is_named() {
    let place = Place::file();
    std::fs::write(path(&place).parent().unwrap(), "in the way").unwrap();
    let process = Process::start(&place.config());
    let reason = within(async {
        loop {
            match process.queue.depth().await {
                Err(error) if error.to_string().contains("not connected yet") => {
                    tokio::task::yield_now().await;
                }
                other => return other.unwrap_err().to_string(),
            }
        }
    })
    .await;
    assert!(reason.contains("made/queue.db: "), "{reason}");
}

/// A process that is stopped (SIGSTOP) for longer than its lease: its driver is not polled.
#[tokio::test]
async fn a_consumer_that_was_paused_too_long_has_lost_what_it_held() {
    let place = Place::file();
    let (queue, driver, ..) = opened(&place.config());
    let mut driver = Box::pin(driver.run());
    let successor = place.process().await;
    successor.publish("m-1").await;

    let mut consumer = queue.consumer(ConsumerConfig { prefetch: 1 }, std::future::pending());
    let held = tokio::select! {
        () = &mut driver => panic!("the driver never ends"),
        delivery = next(&mut consumer) => delivery,
    };
    // Not polled from here on.
    let mut other = successor.consumer(1);
    let delivery = next(&mut other).await;
    assert_eq!((delivery.id(), delivery.attempt()), ("m-1", 2));
    let late = tokio::select! {
        () = &mut driver => panic!("the driver never ends"),
        late = within(held.ack()) => late,
    };
    assert_eq!(late, Err(Error::Lost));
    within(delivery.ack()).await.unwrap();

    // And takes its part again.
    successor.publish("m-2").await;
    successor.publish("m-3").await;
    let delivery = tokio::select! {
        () = &mut driver => panic!("the driver never ends"),
        delivery = next(&mut consumer) => delivery,
    };
    assert_eq!(delivery.attempt(), 1);
}

#[tokio::test]
async fn a_lock_that_another_process_holds_for_long_delays_and_loses_nothing() {
    let place = Place::file();
    let process = place.process().await;
    let mut other = SqliteConnection::connect(place.url()).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut publish = Box::pin(process.publish("m-1"));
    // Longer than a transaction waits for the lock.
    let early = timeout(Duration::from_millis(1500), &mut publish).await;
    assert!(early.is_err(), "nobody else can write");
    lock.rollback().await.unwrap();
    publish.await;
    becomes(&process.queue, 1, 0).await;
}

#[tokio::test]
async fn a_lease_is_five_seconds_for_users() {
    let config = config("sqlite://queue.db");
    assert!(format!("{config:?}").contains("lease: 5s"));
}
