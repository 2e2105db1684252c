//! More load than a service can bear, in a small dose: it goes on answering what it can, and its probes.
//!
//! `scripts/overload` measures the same for minutes, on a release build and with the real figures.

#![cfg(target_os = "linux")]

use tokio::process::Command;

#[tokio::test]
async fn an_overloaded_service_answers_what_it_can_and_its_probes() {
    let measured = Command::new(env!("CARGO_BIN_EXE_overload"))
        .args(["--bounds", "rough", "--cost", "10ms", "--step", "500ms"])
        .args(["--limit", "4", "--length", "2s", "--factors", "2,5"])
        .kill_on_drop(true)
        .output();
    let measured = measured.await.unwrap();
    let [table, problems] =
        [&measured.stdout, &measured.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(measured.status.success(), "{problems}\n{table}");
    assert!(table.contains("| 5x |"), "{table}");
}
