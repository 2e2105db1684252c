//! The binary: its settings.

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
fn the_password_of_the_session_store_is_not_shown() {
    for (url, code) in [
        ("redis://shop:hunter2@redis:6379/1", 0),
        ("redis://shop:hunter2@redis:port", 64),
        ("rediss://shop:hunter2@redis:6379", 64),
    ] {
        let output = check_config(&[("MESH_SESSION_URL", url)]);
        assert_eq!(output.status.code(), Some(code), "{url}");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("MESH_SESSION_URL="), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
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
