//! What `mesh up` refuses, before it starts anything.

use std::net::TcpListener;

use crate::harness::{Place, stderr};

#[tokio::test]
async fn a_second_mesh_in_the_folder_is_refused_with_the_first_ones_pid() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let second = place.run_up(&[]).await;
    assert_eq!(second.status.code(), Some(1));
    let told = stderr(&second);
    assert!(told.contains("already runs in this folder"), "{told}");
    assert!(told.contains(&format!("process {}", mesh.pid())), "{told}");
    assert_eq!(mesh.entries().len(), 5, "the first goes on");
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_process_and_a_way_out() {
    let place = Place::new();
    let taken = place.address(50052);
    let page = place.address(9460);
    let _listeners = [taken, page].map(|address| TcpListener::bind(address).unwrap());
    let output = place.run_up(&[]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains(&format!("inventory: {taken} is already in use")),
        "{told}"
    );
    assert!(
        told.contains(&format!("page: {page} is already in use")),
        "{told}"
    );
    assert!(told.contains("--port-offset"), "{told}");
    assert!(!place.path().join(".mesh/mesh.json").exists());
}

#[tokio::test]
async fn every_bad_setting_is_told_once_and_nothing_starts() {
    let place = Place::new();
    let bad = [
        "--set",
        "MESH_CONCURRENCY_LIMIT=many",
        "--set",
        "MESH_SEED_STOK=5",
        "--set",
        "MESH_SEED_STOCK=none",
    ];
    let output = place.run_up(&bad).await;
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    for name in [
        "MESH_CONCURRENCY_LIMIT=",
        "MESH_SEED_STOK:",
        "MESH_SEED_STOCK=",
    ] {
        assert_eq!(told.matches(name).count(), 1, "{name} in {told}");
    }
    assert!(place.is_quiet());
}

#[tokio::test]
async fn services_that_would_share_a_sqlite_file_are_refused() {
    let place = Place::new();
    let output = place
        .run_up(&["--set", "MESH_STORE_URL=sqlite://shop.db"])
        .await;
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    assert!(
        told.contains("orders, inventory, payments cannot share one SQLite file"),
        "{told}"
    );
    assert!(!place.path().join("shop.db").exists());
}

#[tokio::test]
async fn a_trace_is_asked_of_a_mesh_that_runs_and_by_its_id() {
    let place = Place::new();
    for which in ["last", "4bf92f3577b34da6a3ce929d0e0e4736"] {
        let output = place.run(&["trace", which]).await;
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.contains("no mesh runs in this folder"), "{told}");
    }
    let output = place.run(&["trace", "first"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("32 hex digits"));
}
