//! Many traces, and somebody who looks at them, in a small dose: they stay within their memory and the page answers.
//!
//! `scripts/traces` measures the same for minutes, on a release build and with the real figures.

#![cfg(target_os = "linux")]

use mesh_tests::measured;

#[tokio::test]
async fn traces_keep_to_their_memory_and_looking_at_them_stops_nobody() {
    let dose = "--bounds rough --rate 200 --length 5s --rounds 2 --round 2s";
    let dose: Vec<_> = dose.split(' ').collect();
    let table = measured(env!("CARGO_BIN_EXE_traces"), &dose).await;
    assert!(table.contains("| the same, page open |"), "{table}");
}
