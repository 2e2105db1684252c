//! `mesh dead`: what cannot be worked on is listed, shown, and sent on its way again.

use mesh_messaging::testing::{self, Process, RabbitMq};

use crate::harness::{Place, eventually_async, stderr};

/// Runs `mesh dead` in the folder; what it says.
async fn dead(place: &Place, args: &[&str]) -> String {
    let output = place.run(&[&["dead"], args].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(place: &Place, args: &[&str]) -> String {
    let output = place.run(&[&["dead"], args].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    stderr(&output)
}

/// A mesh with its queue there: a message that no worker can read, and one of an order that nobody knows.
async fn poison_is_listed_shown_and_replayed(place: &Place, args: &[&str], url: &str) {
    let mesh = place.up(&[&["--logs", "none"], args].concat()).await;
    assert_eq!(dead(place, &["list"]).await, "no dead letters\n");
    let nothing = dead(place, &["replay", "--all"]).await;
    assert!(nothing.starts_with("nothing to replay"), "{nothing}");

    let process = Process::start(&testing::config(url));
    process.connected().await;
    process.publish_body(b"not json").await.unwrap();
    process.publish("m-1").await;
    let listed = async |count: usize| {
        eventually_async("the dead letters are listed", async || {
            dead(place, &["list"]).await.lines().count() == 1 + count
        })
        .await;
        dead(place, &["list"]).await
    };

    let list = listed(2).await;
    let junk = line(&list, "unnamed-");
    assert!(junk.contains("malformed message: "), "{list}");
    let order = line(&list, "m-1");
    assert!(
        order.contains("order of m-1") && order.contains("order.confirmed"),
        "{list}"
    );
    assert!(
        order.contains("Z  1  "),
        "when, and after one delivery: {list}"
    );

    let shown = dead(place, &["show", "m-1"]).await;
    for told in [
        "order       order of m-1\n",
        "traceparent: 00-",
        "\"id\": \"m-1\"",
    ] {
        assert!(shown.contains(told), "{told} in {shown}");
    }
    let told = refused(place, &["show", "m-2"]).await;
    assert!(told.contains("no dead letter has the id \"m-2\""), "{told}");
    let told = refused(place, &["replay", "m-2"]).await;
    assert!(told.contains("no dead letter has the id \"m-2\""), "{told}");

    // It is worked on again, and is no better.
    let told = dead(place, &["replay", "m-1"]).await;
    assert_eq!(told, "replayed m-1: it is in the queue again\n");
    listed(2).await;
    let told = dead(place, &["replay", "--all"]).await;
    assert!(told.starts_with("replayed 2: "), "{told}");
    listed(2).await;
    assert_eq!(mesh.terminate().await, Some(0));
}

fn line<'t>(text: &'t str, id: &str) -> &'t str {
    text.lines()
        .find(|line| line.trim_start().starts_with(id))
        .unwrap_or_else(|| panic!("no {id} in {text}"))
}

#[tokio::test]
async fn poison_in_the_embedded_queue_is_listed_shown_and_replayed() {
    let place = Place::new();
    let url = format!("sqlite://{}/.mesh/queue.db", place.path().display());
    poison_is_listed_shown_and_replayed(&place, &[], &url).await;
}

#[tokio::test]
async fn poison_in_a_broker_is_listed_shown_and_replayed() {
    let broker = RabbitMq::start();
    let url = broker.virtual_host().await;
    let set = format!("MESH_QUEUE_URL={url}");
    poison_is_listed_shown_and_replayed(&Place::new(), &["--set", &set], &url).await;
}

#[tokio::test]
async fn without_a_mesh_there_is_nothing_to_look_at() {
    let told = refused(&Place::new(), &["list"]).await;
    assert!(told.contains("no mesh runs in this folder"), "{told}");
}
