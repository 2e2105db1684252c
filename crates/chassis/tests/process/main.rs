//! A real process, from outside: exit codes, signals, probes. The process is `examples/tiny.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod export;
mod running;

use std::{process::Stdio, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::running::{LIMIT, Running, get, in_flight, output, tiny};

#[tokio::test]
async fn settings_are_checked_and_shown_without_starting() {
    let (code, settings, problems) = output(
        tiny()
            .arg("--check-config")
            .env("MESH_STORE_URL", "sqlite://shop:hunter2@here"),
    )
    .await;
    assert_eq!((code, problems.as_str()), (Some(0), ""));
    for line in [
        "MESH_REQUEST_TIMEOUT=5s",
        "MESH_STORE_URL=sqlite://***@here",
        "TOKIO_WORKER_THREADS=2",
        "RUST_LOG=info,lapin=off",
    ] {
        assert!(
            settings.lines().any(|shown| shown == line),
            "{line} in\n{settings}"
        );
    }
    for args in [&["--check-config"][..], &[]] {
        let mut command = tiny();
        command
            .args(args)
            .env("MESH_REQUEST_TIMEOUT", "5")
            .env("MESH_DRIAN_DELAY", "1s");
        let (code, settings, problems) = output(&mut command).await;
        assert_eq!((code, settings.as_str()), (Some(64), ""));
        let lines: Vec<_> = problems.lines().collect();
        assert_eq!(lines.len(), 2, "{problems}");
        assert!(
            lines[0].starts_with("tiny: MESH_REQUEST_TIMEOUT=\"5\": "),
            "{problems}"
        );
        assert_eq!(
            lines[1],
            "tiny: MESH_DRIAN_DELAY: no such setting; did you mean MESH_DRAIN_DELAY?"
        );
    }
    assert_eq!(output(tiny().arg("--nonsense")).await.0, Some(64));
    assert!(output(tiny().arg("--version")).await.1.starts_with("tiny "));
    assert!(
        output(tiny().arg("--help"))
            .await
            .1
            .contains("--check-config")
    );
}

#[tokio::test]
async fn an_address_in_use_fails_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    for name in ["MESH_LISTEN_ADDR", "MESH_ADMIN_ADDR"] {
        let (code, _, problem) = output(tiny().env(name, addr.to_string())).await;
        assert_eq!(code, Some(1), "{name}");
        assert!(
            problem.contains(&format!("cannot listen on {addr}: ")),
            "{name}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_process_starts_without_its_store_and_is_ready_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("tiny.db");
    let url = format!("sqlite://{}", store.display());
    let running = Running::start(tiny().env("MESH_STORE_URL", url)).await;
    assert_eq!(get(running.admin, "/healthz").await.unwrap().0, 200);
    let (status, body) = get(running.admin, "/readyz").await.unwrap();
    let waiting: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, waiting),
        (
            503,
            json!({"status": "not ready", "waiting_for": ["store"]})
        )
    );
    assert_eq!(
        get(running.http, "/hello").await.unwrap(),
        (200, "hello\n".to_owned())
    );
    std::fs::write(&store, "").unwrap();
    running.becomes("/readyz", 200).await;
}

#[tokio::test]
async fn a_signal_lets_requests_finish_and_the_exit_code_is_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Running::ready(&mut tiny()).await;
        let slow = in_flight(&running, "/slow").await;
        running.signal(signal);
        running.becomes("/readyz", 503).await;
        assert!(
            get(running.admin, "/readyz")
                .await
                .unwrap()
                .1
                .contains("[\"shutdown\"]")
        );
        assert_eq!(slow.await.unwrap(), (200, "slow\n".to_owned()));
        assert_eq!(running.ended().await.code(), Some(0));
        let messages = running.messages();
        assert!(
            messages.contains(&"request") && messages.ends_with(&["stopped"]),
            "{messages:?}"
        );
    }
}

#[tokio::test]
async fn listeners_go_on_serving_for_the_drain_delay() {
    let mut command = tiny();
    let running = Running::ready(command.env("MESH_DRAIN_DELAY", "10s")).await;
    running.signal(Signal::TERM);
    running.becomes("/readyz", 503).await;
    assert_eq!(get(running.http, "/hello").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_request_that_outlives_the_drain_timeout_is_cut_and_named_and_the_exit_code_is_1() {
    let mut command = tiny();
    command
        .env("MESH_DRAIN_TIMEOUT", "300ms")
        .env("MESH_REQUEST_TIMEOUT", "250ms");
    let mut running = Running::ready(&mut command).await;
    // The handler is dropped at its deadline, the section is not.
    let charge = in_flight(&running, "/charge").await;
    let begin = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "the cap holds: {:?}",
        begin.elapsed()
    );
    let cut: Vec<_> = running
        .log
        .iter()
        .filter(|line| line["message"] == "cut")
        .collect();
    assert!(cut.iter().any(|line| line["what"] == "charge"), "{cut:?}");
    drop(charge);
}

#[tokio::test]
async fn a_section_is_finished_although_its_caller_is_gone() {
    let mut running = Running::ready(&mut tiny()).await;
    drop(in_flight(&running, "/charge").await);
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(0));
    assert!(
        running.messages().contains(&"charged"),
        "{:?}",
        running.messages()
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut command = tiny();
    let mut running = Running::ready(command.env("MESH_DRAIN_DELAY", "10s")).await;
    running.signal(Signal::TERM);
    running.logged("draining").await;
    let begin = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn probes_are_answered_and_the_process_ends_while_the_main_runtime_is_stuck() {
    let mut command = tiny();
    command
        .env("MESH_DRAIN_TIMEOUT", "600ms")
        .env("MESH_REQUEST_TIMEOUT", "500ms");
    let mut running = Running::ready(&mut command).await;
    let request = tokio::task::JoinSet::from_iter([get(running.http, "/block")]);
    let stuck = async {
        // Nobody answers on the main runtime any more.
        while timeout(Duration::from_millis(200), get(running.http, "/hello"))
            .await
            .is_ok()
        {}
    };
    timeout(LIMIT, stuck).await.expect("the runtime gets stuck");
    for path in ["/healthz", "/metrics", "/readyz"] {
        let begin = Instant::now();
        assert_eq!(get(running.admin, path).await.unwrap().0, 200, "{path}");
        assert!(
            begin.elapsed() < Duration::from_millis(500),
            "{path}: {:?}",
            begin.elapsed()
        );
    }
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert_eq!(running.messages().last(), Some(&"stopped"));
    drop(request);
}

#[tokio::test]
async fn a_lost_task_that_the_process_needs_ends_it_with_1() {
    let mut running = Running::ready(&mut tiny()).await;
    get(running.http, "/fail").await.unwrap();
    assert_eq!(running.ended().await.code(), Some(1));
    let panic = running
        .log
        .iter()
        .find(|line| line["message"] == "panic")
        .expect("the panic is logged");
    assert_eq!(panic["panic"], "as asked");
    assert!(panic["place"].as_str().unwrap().contains("tiny.rs"));
}

#[tokio::test]
async fn a_process_ends_with_its_parent_when_it_is_told_to() {
    let mut command = tiny();
    let mut running = Running::ready(command.arg("--die-with-parent").stdin(Stdio::piped())).await;
    drop(running.child.stdin.take());
    assert_eq!(running.logged("draining").await["by"], "end of the parent");
    assert_eq!(running.ended().await.code(), Some(0));
}
