//! The browser that pages are tested in does what it is told, and finds what it is there to find.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{Router, response::Html, routing::get};
use mesh_tests::{Browser, Scheme, eventually};
use tokio::{net::TcpListener, task::JoinSet};

const GOOD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>good</title>
<link rel="icon" href="data:,"><style>@media (prefers-color-scheme: dark) { body { background: #000; color: #fff } }</style>
<main><h1>One</h1><a href="/two" data-way="on">On</a></main></html>"#;
const TWO: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>two</title>
<link rel="icon" href="data:,"><main><h1>Two</h1></main></html>"#;
/// An image without a text, from ELSEWHERE, and a script that the policy forbids.
const BAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>bad</title><link rel="icon" href="data:,">
<meta http-equiv="content-security-policy" content="script-src 'none'">
<main><h1>Bad</h1><img src="ELSEWHERE"><script>document.title = "worse"</script></main></html>"#;
const LIMIT: Duration = Duration::from_secs(60);

/// The three pages, for as long as the set lives; and an address that is not theirs.
async fn pages() -> (String, String, JoinSet<()>) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let elsewhere = format!("http://localhost:{port}/pixel.png");
    let bad = BAD.replace("ELSEWHERE", &elsewhere);
    let router = Router::new()
        .route("/", get(|| async { Html(GOOD) }))
        .route("/two", get(|| async { Html(TWO) }))
        .route("/bad", get(async move || Html(bad.clone())));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    (format!("http://127.0.0.1:{port}"), elsewhere, server)
}

#[tokio::test]
async fn it_goes_clicks_and_shows_as_it_is_told() {
    let (origin, _, _server) = pages().await;
    let browser = Browser::start().await;
    browser.go(&format!("{origin}/")).await;
    assert_eq!(browser.text("h1").await, "One");
    assert_eq!(browser.attributes("a", "data-way").await, ["on"]);

    for (scheme, background) in [
        (Scheme::Light, "rgba(0, 0, 0, 0)"),
        (Scheme::Dark, "rgb(0, 0, 0)"),
    ] {
        browser.prefer(scheme).await;
        let script = "return getComputedStyle(document.body).backgroundColor";
        assert_eq!(browser.run(script, serde_json::json!([])).await, background);
    }
    for width in [360, 1440] {
        browser.resize(width, 500).await;
        let picture = browser.screenshot().await;
        // The first chunk of a PNG begins with its width and height.
        let seen: Vec<_> = [16, 20]
            .map(|at| u32::from_be_bytes(picture[at..at + 4].try_into().expect("four bytes")))
            .into();
        assert_eq!(seen, [width, 500]);
    }

    browser.click("a").await;
    assert_eq!(browser.text("h1").await, "Two");
    assert_eq!(browser.url().await, format!("{origin}/two"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    assert_eq!(browser.barriers().await, Vec::<String>::new());
    let asked = browser.requests().await;
    assert_eq!(asked, ["/", "/two"].map(|path| format!("{origin}{path}")));
}

#[tokio::test]
async fn it_finds_what_is_wrong_with_a_page() {
    let (origin, elsewhere, _server) = pages().await;
    let browser = Browser::start().await;
    browser.go(&format!("{origin}/bad")).await;
    let complaints = browser.complaints().await;
    let policy = complaints
        .iter()
        .any(|text| text.contains("Content Security Policy"));
    assert!(policy, "{complaints:?}");
    let asked = browser.requests().await;
    assert!(asked.contains(&elsewhere), "{asked:?}");
    let barriers = browser.barriers().await;
    assert!(
        barriers.iter().any(|text| text.starts_with("image-alt: ")),
        "{barriers:?}"
    );
}

/// The processes whose command line names that folder.
fn running_in(folder: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    let lines = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(folder)).collect()
}

#[tokio::test]
async fn it_leaves_nothing_behind() {
    let browser = Browser::start().await;
    let folder = browser.folder().to_owned();
    let name = folder.to_str().expect("a plain name").to_owned();
    assert!(
        !running_in(&name).is_empty(),
        "its folder stands in its command line"
    );
    drop(browser);
    eventually(LIMIT, "nobody runs in its folder", || async {
        let left = running_in(&name);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert!(!folder.exists());
}
