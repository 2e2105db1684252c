//! `mesh status`: how each process of the running mesh is.

use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::timeout,
};

use crate::harness::{LIMIT, Place, eventually_async, http, signal, stderr};

const PROCESSES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "fulfillment"];

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it says of a process.
fn of<'j>(status: &'j Value, name: &str) -> &'j Value {
    let mut processes = status["processes"].as_array().unwrap().iter();
    processes.find(|process| process["name"] == name).unwrap()
}

async fn json(place: &Place) -> Value {
    let output = place.run(&["status", "--json"]).await;
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn each_process_has_a_line_and_all_is_well() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let output = place.run(&["status"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 1 + PROCESSES.len(), "{told}");
    for (line, name) in lines[1..].iter().zip(PROCESSES) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[..2], [name, "ready"], "{told}");
        assert!(line.contains(" MB"), "{told}");
    }
    assert!(lines[5].ends_with("  0 waiting"), "{told}");
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn the_figures_are_those_of_the_last_second() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let gateway = place.address(8080);
    let customers = async {
        loop {
            let answer = http(gateway, "GET", "/v1/products", "", "").await.unwrap();
            assert_eq!(answer.status, 200);
        }
    };
    let status = tokio::select! {
        status = json(&place) => status,
        () = customers => unreachable!("they never stop"),
    };
    let gateway = &of(&status, "gateway")["figures"];
    assert!(gateway["rate"].as_f64().unwrap() > 1.0, "{gateway}");
    assert!(gateway["p95_seconds"].as_f64().unwrap() > 0.0, "{gateway}");
    assert_eq!(gateway["errors"], 0.0, "{gateway}");
    let call = &gateway["calls"][0];
    assert_eq!(call["peer"], "inventory", "{gateway}");
    assert!(call["rate"].as_f64().unwrap() > 1.0, "{gateway}");
    // Nobody calls it, and questions about itself do not count.
    let payments = &of(&status, "payments")["figures"];
    assert_eq!(payments["rate"], 0.0, "{payments}");
    assert_eq!(status["queue"]["ready"], 0, "{status}");
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn who_is_not_ready_is_named_and_the_exit_code_says_so() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let payments = mesh.entry("payments").pid;
    signal(payments, Signal::STOP);
    eventually_async("it hangs", async || is_waiting(&place, "payments").await).await;
    let output = place.run(&["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("not ready: payments waits for an answer"),
        "{told}"
    );
    let table = stdout(&output);
    assert!(
        table.contains("  payments     waits for an answer  –"),
        "{table}"
    );
    signal(payments, Signal::CONT);
    eventually_async("it is ready again", async || {
        place.run(&["status"]).await.status.code() == Some(0)
    })
    .await;
    assert_eq!(mesh.entry("payments").pid, payments, "it is the same");
    assert_eq!(mesh.terminate().await, Some(0));
}

async fn is_waiting(place: &Place, name: &str) -> bool {
    of(&json(place).await, name)["state"] == "waiting"
}

#[tokio::test]
async fn a_stopped_process_does_not_outlive_a_mesh_that_is_killed() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    // As in a container: its processes are inherited by one of their own session, so the system does not take them for
    // orphans, whom it would wake.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    signal(mesh.entry("payments").pid, Signal::STOP);
    mesh.kill().await;
    eventually_async("nobody listens any more", async || place.is_quiet()).await;
}

#[tokio::test]
async fn it_watches_until_the_mesh_ends() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let mut watch = place
        .command(&["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
        let status: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(of(&status, "orders")["state"], "ready");
    }
    assert_eq!(mesh.terminate().await, Some(0));
    let ended = timeout(LIMIT, watch.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(1));
}

#[tokio::test]
async fn without_a_mesh_there_is_nothing_to_tell() {
    let output = Place::new().run(&["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("no mesh runs in this folder"), "{told}");
}
