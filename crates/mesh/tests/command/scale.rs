//! Replicas that come and go while the mesh runs.

use crate::harness::{Place, is_ready, stderr};

#[tokio::test]
async fn replicas_come_and_go_while_it_runs() {
    let place = Place::new();
    let mesh = place
        .up(&["--logs", "none", "--replicas", "payments=2"])
        .await;
    assert!(is_ready(mesh.entry("payments-2").admin).await);
    let before = mesh.pids();

    let more = place.run(&["scale", "orders=3"]).await;
    assert_eq!(more.status.code(), Some(0), "{}", stderr(&more));
    assert_eq!(String::from_utf8(more.stdout).unwrap(), "orders: 3 ready\n");
    let (first, second, third) = (
        mesh.entry("orders"),
        mesh.entry("orders-2"),
        mesh.entry("orders-3"),
    );
    assert!(is_ready(second.admin).await && is_ready(third.admin).await);
    assert_ne!(second.grpc, first.grpc);
    assert_ne!(second.grpc, third.grpc);

    let fewer = place.run(&["scale", "orders=1", "payments=1"]).await;
    assert_eq!(fewer.status.code(), Some(0), "{}", stderr(&fewer));
    assert!(!is_ready(second.admin).await && !is_ready(third.admin).await);
    let after = mesh.pids();
    assert_eq!(after.len(), 5);
    assert!(
        after.iter().all(|pid| before.contains(pid)),
        "the others were left alone"
    );
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn without_a_mesh_there_is_nothing_to_scale() {
    let place = Place::new();
    let output = place.run(&["scale", "orders=2"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no mesh runs in this folder"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn an_unknown_process_is_answered_with_the_known_ones() {
    let place = Place::new();
    for args in [
        &["scale", "order=2"][..],
        &["up", "--replicas", "order=2"],
        &["run", "order"],
    ] {
        let output = place.run(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let told = stderr(&output);
        assert!(
            told.contains("gateway, orders, inventory, payments, fulfillment"),
            "{args:?}: {told}"
        );
    }
}
