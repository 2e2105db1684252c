//! `mesh up` on a good day.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::harness::{Place, eventually, is_alive, is_ready, order};

#[tokio::test]
async fn it_comes_up_takes_an_order_and_goes_without_a_trace() {
    let place = Place::new();
    let mesh = place.up(&[]).await;
    let entries = mesh.entries();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let expected = ["gateway", "orders", "inventory", "payments", "fulfillment"];
    assert_eq!(names, expected);
    assert_eq!(mesh.entry("gateway").http, Some(place.address(8080)));
    assert_eq!(mesh.entry("orders").grpc, Some(place.address(50051)));
    assert_eq!(mesh.entry("payments").admin, place.address(9464));
    let worker = mesh.entry("fulfillment");
    assert_eq!(worker.admin, place.address(9465));
    assert_eq!((worker.http, worker.grpc), (None, None));
    for entry in &entries {
        assert!(is_ready(entry.admin).await, "{}", entry.name);
    }
    let mode = fs::metadata(mesh.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let line = order_line(&mesh.output());
    let answer = order(
        place.address(8080),
        &between(&line, r#""sku":""#, "\""),
        "a-key",
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.head);
    let (trace, request) = (answer.header("x-trace-id"), answer.header("x-request-id"));
    let is_told = |line: &str, name: &str| {
        line.starts_with(name)
            && line.contains(&format!("trace_id={trace}"))
            && line.contains(&format!("request_id={request}"))
    };
    for name in names {
        eventually("each process tells of the order", || {
            mesh.output().lines().any(|line| is_told(line, name))
        })
        .await;
    }

    let pids = mesh.pids();
    let (file, output) = (mesh.file(), place.path().join("output"));
    assert_eq!(mesh.terminate().await, Some(0));
    assert!(!file.exists());
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(place.is_quiet());
    let output = fs::read_to_string(output).unwrap();
    let stopped = |name: &str| output.find(&format!("{name:<11} stopped in")).unwrap();
    assert!(stopped("gateway") < stopped("fulfillment"));
    assert!(stopped("fulfillment") < stopped("orders"));
    assert!(stopped("orders") < stopped("inventory").min(stopped("payments")));
}

#[tokio::test]
async fn the_state_is_found_again_until_it_is_reset() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let sku = between(&order_line(&mesh.output()), r#""sku":""#, "\"");
    assert_eq!(
        order(place.address(8080), &sku, "a-key")
            .await
            .unwrap()
            .status,
        201
    );
    let refused = place.run(&["reset"]).await;
    assert_eq!(refused.status.code(), Some(1));
    mesh.terminate().await;

    let mesh = place.up(&["--logs", "none"]).await;
    let replayed = order(place.address(8080), &sku, "a-key").await.unwrap();
    assert_eq!(replayed.header("idempotent-replayed"), "true");
    mesh.terminate().await;

    let reset = place.run(&["reset"]).await;
    assert_eq!(reset.status.code(), Some(0));
    let told = String::from_utf8(reset.stdout).unwrap();
    assert!(told.contains("orders.db"), "{told}");
    assert!(!place.path().join(".mesh").exists());
    assert_eq!(
        place.run(&["reset"]).await.status.code(),
        Some(0),
        "nothing to do is no failure"
    );
}

/// The line that people are told to try.
fn order_line(output: &str) -> String {
    let line = output
        .lines()
        .find(|line| line.trim_start().starts_with("curl "))
        .unwrap();
    assert!(
        line.contains("tok_ok") && line.contains("Idempotency-Key: "),
        "{line}"
    );
    line.trim().to_owned()
}

fn between(text: &str, before: &str, after: &str) -> String {
    text.split_once(before)
        .unwrap()
        .1
        .split_once(after)
        .unwrap()
        .0
        .to_owned()
}
