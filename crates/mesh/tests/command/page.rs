//! The page of a mesh that runs: its buttons do what they say.

use std::path::Path;

use crate::harness::{
    Answer, Mesh, Place, eventually, eventually_async, http, is_alive, is_ready, stderr,
};

/// Before `--port-offset`.
const PORT: u16 = 9460;

struct Page<'p> {
    place: &'p Place,
    token: String,
}

impl<'p> Page<'p> {
    async fn open(place: &'p Place) -> Self {
        let answer = get(place, "/break").await;
        let (_, rest) = answer.body.split_once(r#"name="token" value=""#).unwrap();
        let (token, _) = rest.split_once('"').unwrap();
        Self {
            place,
            token: token.to_owned(),
        }
    }

    /// Presses a button; where that leads.
    async fn press(&self, path: &str, fields: &str) -> String {
        let address = self.place.address(PORT);
        let head = format!(
            "Origin: http://{address}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        let form = format!("token={}&{fields}", self.token);
        let answer = http(address, "POST", path, &head, &form).await.unwrap();
        assert_eq!(answer.status, 303, "{}", answer.head);
        answer.header("location").to_owned()
    }
}

async fn get(place: &Place, path: &str) -> Answer {
    let answer = http(place.address(PORT), "GET", path, "", "")
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.head);
    answer
}

/// What `mesh status` says of a process.
async fn status(place: &Place, name: &str) -> String {
    let output = place.run(&["status"]).await;
    let table = String::from_utf8(output.stdout).unwrap();
    let mut lines = table.lines().map(str::trim_start);
    let line = lines.find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {table}"))
        .to_owned()
}

/// Another process has the name, and is ready.
async fn until_replaced(mesh: &Mesh<'_>, name: &str, before: u32) {
    eventually("another process", || mesh.entry(name).pid != before).await;
    eventually_async("it is ready", async || {
        is_ready(mesh.entry(name).admin).await
    })
    .await;
    assert!(!is_alive(before));
}

#[tokio::test]
async fn what_is_broken_on_the_page_is_broken_and_heals() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let shown = mesh.output();
    let first = shown.lines().find(|line| line.contains("http://")).unwrap();
    let url = format!("http://{}", place.address(PORT));
    assert!(first.contains(&url), "not the first address: {first}");
    let page = Page::open(&place).await;

    let payments = mesh.entry("payments").pid;
    page.press("/break/kill", "replica=payments").await;
    until_replaced(&mesh, "payments", payments).await;

    let orders = mesh.entry("orders").pid;
    page.press("/break/pause", "replica=orders").await;
    let line = status(&place, "orders").await;
    assert!(line.starts_with("orders       paused "), "{line}");
    page.press("/break/restart", "replica=orders").await;
    until_replaced(&mesh, "orders", orders).await;

    page.press("/break/scale", "process=fulfillment&replicas=2")
        .await;
    eventually("a second worker", || {
        mesh.entries()
            .iter()
            .any(|entry| entry.name == "fulfillment-2")
    })
    .await;
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn an_order_that_is_tried_on_the_page_is_shown_with_its_log_lines() {
    let place = Place::new();
    let mesh = place.up(&["--logs", "none"]).await;
    let page = Page::open(&place).await;
    let answer = page.press("/try", "token_name=tok_ok").await;
    let answer = get(&place, &answer).await.body;
    assert!(answer.contains("201"), "{answer}");
    let (_, rest) = answer.split_once(r#"href="/traces/"#).unwrap();
    let (trace, _) = rest.split_once('"').unwrap();
    let path = format!("/traces/{trace}");
    eventually_async("the log lines of each process", async || {
        let answer = http(place.address(PORT), "GET", &path, "", "")
            .await
            .unwrap();
        let names = ["gateway", "orders", "inventory", "payments"].into_iter();
        names
            .map(|name| format!(r#"data-log="{name}""#))
            .all(|line| answer.body.contains(&line))
    })
    .await;
    let output = place.run(&["status"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(mesh.terminate().await, Some(0));
}

#[tokio::test]
async fn a_paused_process_ends_with_the_mesh_however_that_ends() {
    for is_killed in [false, true] {
        let place = Place::new();
        let mesh = place.up(&["--logs", "none"]).await;
        let page = Page::open(&place).await;
        page.press("/break/pause", "replica=payments").await;
        let payments = mesh.entry("payments").pid;
        #[cfg(target_os = "linux")]
        eventually("it is stopped", || is_stopped(payments)).await;
        if is_killed {
            mesh.kill().await;
        } else {
            assert_eq!(mesh.terminate().await, Some(0));
        }
        eventually("nobody listens any more", || place.is_quiet()).await;
        eventually("it is gone", || !is_alive(payments) || is_zombie(payments)).await;
    }
}

/// Whether the system keeps it from running.
#[cfg(target_os = "linux")]
fn is_stopped(pid: u32) -> bool {
    state(pid) == Some('T')
}

/// It has ended, and whoever inherited it has not looked yet.
fn is_zombie(pid: u32) -> bool {
    state(pid) == Some('Z')
}

fn state(pid: u32) -> Option<char> {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    let stat = std::fs::read_to_string(stat).ok()?;
    let (_, state) = stat.rsplit_once(") ")?;
    state.chars().next()
}
