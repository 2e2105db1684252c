//! The binary: settings it cannot use.

use std::process::{Command, Output};

fn check_config(settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .arg("--check-config")
        .env_clear()
        .envs(settings.iter().copied())
        .output()
        .expect("cargo has built the binary")
}

#[test]
fn a_session_store_that_is_not_supported_stops_the_start() {
    let output = check_config(&[("MESH_SESSION_URL", "redis://shop:hunter2@redis:6379")]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("MESH_SESSION_URL") && told.contains("not supported yet"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn the_defaults_can_be_used() {
    let output = check_config(&[]);
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for setting in [
        "MESH_SESSION_URL=memory:",
        "MESH_ORDERS_TIMEOUT=4.6s",
        "MESH_INVENTORY_TIMEOUT=950ms",
    ] {
        assert!(shown.lines().any(|line| line == setting), "{setting}");
    }
}
