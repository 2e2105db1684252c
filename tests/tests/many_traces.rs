//! Many traces, and somebody who looks at them, in a small dose: they stay within their memory and the page answers.
//!
//! `scripts/traces` measures the same for minutes, on a release build and with the real figures.

#![cfg(target_os = "linux")]

use tokio::process::Command;

#[tokio::test]
async fn traces_keep_to_their_memory_and_looking_at_them_stops_nobody() {
    let measured = Command::new(env!("CARGO_BIN_EXE_traces"))
        .args(["--bounds", "rough", "--rate", "200", "--length", "5s"])
        .args(["--rounds", "2", "--round", "2s"])
        .kill_on_drop(true)
        .output();
    let measured = measured.await.unwrap();
    let [table, problems] =
        [&measured.stdout, &measured.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(measured.status.success(), "{problems}\n{table}");
    assert!(table.contains("| the same, page open |"), "{table}");
}
