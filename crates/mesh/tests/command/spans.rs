//! The user's collector at the end of `mesh up --keep-traces`.

use std::{fs, net::TcpListener, time::Duration};

use tokio::time::Instant;

use crate::harness::{Place, eventually, order};

/// Ten times what the end waits for the collector. To wait for all that is on its way to it would take longer.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_the_end_for_a_moment_and_what_it_lacks_is_said() {
    // Whoever connects waits for ever.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", mute.local_addr().unwrap());
    let place = Place::new();
    let setting = format!("OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}");
    let mesh = place.up(&["--keep-traces", "--set", &setting]).await;
    for key in ["one", "two"] {
        let placed = order(place.address(8080), "apron", key).await.unwrap();
        assert_eq!(placed.status, 201, "{}", placed.head);
        let trace = placed.header("x-trace-id");
        eventually("the order is fulfilled", || {
            let told = mesh.output();
            let mut lines = told.lines().filter(|line| line.contains(trace));
            lines.any(|line| line.starts_with("fulfillment"))
        })
        .await;
    }

    let begun = Instant::now();
    assert_eq!(mesh.terminate().await, Some(0));
    let took = begun.elapsed();
    assert!(took < LIMIT, "{took:?}");
    let told = fs::read_to_string(place.path().join("output")).unwrap();
    let end = format!(" spans did not reach {endpoint}: it does not take them within 2 s");
    let line = told.lines().find(|line| line.ends_with(&end));
    let count = line.and_then(|line| line.strip_suffix(&end)?.parse::<u64>().ok());
    // Two orders are more than twenty spans.
    assert!(count.is_some_and(|count| count >= 20), "{told}");
}
