//! Everything fails, in a small dose, and no order is lost and none charged twice.
//!
//! `scripts/chaos` does the same for as long as one likes, on a release build.

use tokio::process::Command;

#[tokio::test]
async fn five_thousand_orders_survive_twenty_faults() {
    let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--orders", "5000", "--faults", "20", "--seed", "1"])
        .kill_on_drop(true)
        .output();
    let run = run.await.unwrap();
    let table = String::from_utf8_lossy(&run.stdout);
    let progress = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{progress}{table}");
    assert!(table.contains("| I9 |"), "{table}");
}

#[tokio::test]
async fn the_plan_follows_from_the_seed() {
    let plan = async |seed: &str| {
        let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
            .args(["--plan", "--seed", seed])
            .output();
        run.await.unwrap().stdout
    };
    assert_eq!(plan("7").await, plan("7").await);
    assert_ne!(plan("7").await, plan("8").await);
}

#[tokio::test]
async fn a_bad_command_line_is_refused() {
    for arguments in [
        &["--orders", "0"][..],
        &["--orders", "many"],
        &["--orders", "4294967295"],
        &["now"],
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
            .args(arguments)
            .output();
        let run = run.await.unwrap();
        assert_eq!(run.status.code(), Some(64), "{arguments:?}");
    }
}
