//! More load than a service can bear, in a small dose: it goes on answering what it can, and its probes.
//!
//! `scripts/overload` measures the same for minutes, on a release build and with the real figures.

#![cfg(target_os = "linux")]

use mesh_tests::measured;

#[tokio::test]
async fn an_overloaded_service_answers_what_it_can_and_its_probes() {
    let dose = "--bounds rough --cost 10ms --step 500ms --limit 4 --length 2s --factors 2,5";
    let dose: Vec<_> = dose.split(' ').collect();
    let table = measured(env!("CARGO_BIN_EXE_overload"), &dose).await;
    assert!(table.contains("| 5x |"), "{table}");
}
