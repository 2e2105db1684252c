//! `mesh load`: what it sends arrives, and what it tells is what happened.

use std::{
    fs::{self, File},
    process::Output,
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{LIMIT, Mesh, Place, eventually, http, signal, stderr};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// It succeeded, unless this machine was too busy to send in time: then it says so.
fn assert_good(output: &Output) {
    let told = stderr(output);
    match output.status.code() {
        Some(0) => {}
        Some(1) if told.contains("the rate could not be held") => {
            assert!(!told.contains("went wrong"), "{told}");
        }
        _ => panic!("{told}{}", stdout(output)),
    }
}

/// The cells of the row that begins so.
fn row(table: &str, name: &str) -> Vec<String> {
    let line = table
        .lines()
        .find(|line| line.trim_start().starts_with(name))
        .unwrap_or_else(|| panic!("no {name} in {table}"));
    let cells = line.split("  ").map(str::trim);
    cells
        .filter(|cell| !cell.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// How many requests of that route the gateway has answered with that status.
async fn answered(mesh: &Mesh<'_>, route: &str, status: &str) -> u64 {
    let answer = http(mesh.entry("gateway").admin, "GET", "/metrics", "", "").await;
    let metrics = answer.unwrap().body;
    let line = metrics.lines().find(|line| {
        line.starts_with("http_requests_total{")
            && line.contains(&format!("route=\"{route}\""))
            && line.contains(&format!("status=\"{status}\""))
    });
    let line = line.unwrap_or_else(|| panic!("no {route} {status} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_kind_arrives_as_often_as_asked_and_is_told_of() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let mix = "place=1,read=2,list=1,cart=1";
    let load = [
        "load", "--rate", "20", "--for", "3s", "--mix", mix, "--svg", "load.svg",
    ];
    let output = place.run(&load).await;
    assert_good(&output);
    let told = stdout(&output);
    for (kind, requests) in [
        ("place", "12"),
        ("read", "24"),
        ("list", "12"),
        ("cart", "12"),
        ("all", "60"),
    ] {
        let row = row(&told, kind);
        assert_eq!(row[1..3], [requests, "0"], "{told}");
        assert_eq!(row.len(), 8, "{told}");
    }
    assert!(told.contains("No errors."), "{told}");
    assert!(told.contains("Rate: 20/s asked"), "{told}");
    // Ten orders and fifty carts come before the load.
    assert_eq!(answered(&mesh, "/v1/orders", "201").await, 12 + 10);
    assert_eq!(answered(&mesh, "/v1/orders/{id}", "200").await, 24);
    assert_eq!(answered(&mesh, "/v1/cart/items/{sku}", "200").await, 12);
    assert_eq!(answered(&mesh, "/v1/products", "200").await, 12 + 1);
    let svg = fs::read_to_string(place.path().join("load.svg")).unwrap();
    assert!(svg.contains("60 requests at 20/s for 3 s"), "{svg}");

    let output = place
        .run(&[
            "load", "--rate", "20", "--for", "1s", "--mix", "list", "--json",
        ])
        .await;
    assert_good(&output);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["all"]["requests"], 20);
    assert_eq!(report["outcomes"][0]["outcome"], "200");
    assert!(report["kinds"][0]["latency"]["p99_ms"].as_f64() > Some(0.0));
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn stock_does_not_run_out_silently() {
    let place = Place::new();
    let mesh = place
        .up(&["--logs", "none", "--set", "MESH_SEED_STOCK=1"])
        .await;
    let load = ["load", "--rate", "20", "--for", "1500ms", "--mix", "place"];
    let output = place.run(&load).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = stdout(&output);
    assert!(
        told.contains("The stock will not last: 30 orders"),
        "{told}"
    );
    // 24 products, of each one piece.
    assert_eq!(
        row(&told, "409 ")[..4],
        ["409", "6", "20.00 %", "place 6"],
        "{told}"
    );
    assert!(told.contains("409: a product is sold out"), "{told}");
    let problems = stderr(&output);
    assert!(
        problems.contains(
            "6 of 30 requests went wrong (20.00 %), more than --max-error-rate 0.01 allows"
        ),
        "{problems}"
    );
    let again = place.run(&load).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("every product is sold out"),
        "{}",
        stderr(&again)
    );
    mesh.terminate().await;
}

#[tokio::test]
async fn an_error_rate_that_is_allowed_is_no_failure() {
    let place = Place::new();
    let mesh = place
        .up(&["--logs", "none", "--set", "MESH_SEED_STOCK=1"])
        .await;
    let load = ["load", "--rate", "20", "--for", "1500ms", "--mix", "place"];
    let output = place
        .run(&[&load[..], &["--max-error-rate", "0.2"]].concat())
        .await;
    assert_good(&output);
    assert!(stdout(&output).contains("20.00 %"), "{}", stdout(&output));
    mesh.terminate().await;
}

#[tokio::test]
async fn who_ends_it_early_gets_what_was_measured() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let path = place.path().join("told");
    let load = ["load", "--rate", "20", "--for", "24h"];
    let mut process = place.spawn(&load, File::create(&path).unwrap());
    let told = || fs::read_to_string(&path).unwrap();
    eventually("it tells how it goes", || told().contains(" in flight, ")).await;
    signal(process.id().unwrap(), Signal::INT);
    let status = timeout(LIMIT, process.wait()).await.unwrap().unwrap();
    let told = told();
    assert!(
        status.code() == Some(0) || told.contains("could not be held"),
        "{told}"
    );
    let all: u64 = row(&told, "all")[1].parse().unwrap();
    assert!(all >= 60, "{told}");
    mesh.terminate().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_told_before_anything_is_sent() {
    let place = Place::new();
    let output = place.run(&["load"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no mesh runs in this folder"));
    for (args, expected) in [
        (
            ["load", "--mix", "reed=4"],
            "there are place, read, list, cart",
        ),
        (["load", "--rate", "0"], "must be a number from"),
        (["load", "--for", "soon"], "must be a number with a unit"),
    ] {
        let output = place.run(&args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let told = stderr(&output);
        assert!(told.contains(expected), "{args:?}: {told}");
    }

    let mesh = place.up(&["--logs", "none"]).await;
    let output = place.run(&["load", "--svg", "nowhere/load.svg"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("cannot write nowhere/load.svg"), "{told}");
    mesh.terminate().await;
}
