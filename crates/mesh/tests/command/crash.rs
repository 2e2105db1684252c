//! Processes that die.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::harness::{Entry, Place, eventually, eventually_async, http, order, signal};

/// From the death of a process to the next order.
const BACK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_killed_process_is_back_soon_and_no_other_is_touched() {
    let place = Place::new();
    let mesh = place.up(&[]).await;
    let gateway = place.address(8080);
    let products = http(gateway, "GET", "/v1/products", "", "").await.unwrap();
    assert_eq!(products.status, 200);
    for name in ["gateway", "orders", "inventory", "payments"] {
        let before = mesh.entries();
        let killed = mesh.entry(name).pid;
        let died = Instant::now();
        signal(killed, Signal::KILL);
        eventually("another process", || mesh.entry(name).pid != killed).await;
        eventually_async("an order", async || {
            let key = format!("after-{name}");
            let answer = order(gateway, &sku(&mesh.output()), &key).await;
            answer.is_some_and(|answer| answer.status == 201)
        })
        .await;
        assert!(died.elapsed() < BACK, "{name} took {:?}", died.elapsed());
        for Entry {
            name: other, pid, ..
        } in before
        {
            assert_eq!(
                mesh.entry(&other).pid == pid,
                other != name,
                "{other} after {name}"
            );
        }
    }
    let report = "payments    was killed by signal 9 (SIGKILL); starts again in";
    assert!(mesh.output().contains(report), "{}", mesh.output());
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn the_children_die_with_the_parent_and_another_mesh_may_take_the_folder() {
    let place = Place::new();
    let mesh = place.up(&[]).await;
    let (file, before) = (mesh.file(), mesh.pids());
    mesh.kill().await;
    eventually("nobody listens any more", || place.is_quiet()).await;
    assert!(file.exists(), "nobody could remove it");

    let mesh = place.up(&[]).await;
    assert!(mesh.pids().iter().all(|pid| !before.contains(pid)));
    assert_eq!(mesh.terminate().await, Some(0));
    assert!(!file.exists());
}

/// What the mesh offers in the line to try.
fn sku(output: &str) -> String {
    let (_, rest) = output.split_once(r#""sku":""#).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}
