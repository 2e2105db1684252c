//! What the page shows is a stranger's text.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    mesh::{LogLine, Placed},
    testing::{Browser, Made, TRACE, receive},
};

const SCRIPT: &str = "<script>alert(1)</script>";
const QUOTED: &str = "\"' onmouseover='alert(1)' x=\"";

fn hostile() -> Browser {
    let browser = Browser::new();
    let text = format!("{SCRIPT}{QUOTED}\n\r\ndata: x\u{202e}\0");
    let mut made = Made::new(&text, 1, 0, &text, (0, 5))
        .left(3)
        .with(&text, &text);
    made.events = vec![text.clone()];
    made.failed = true;
    made.attributes.push((
        "http.response.status_code".to_owned(),
        opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text.clone()),
    ));
    receive(&browser.store, Duration::from_secs(1), &[made]);
    *browser.mesh.logs.lock().unwrap() = vec![LogLine {
        process: text.clone(),
        time: text.clone(),
        level: text.clone(),
        text: text.clone(),
    }];
    *browser.mesh.placed.lock().unwrap() = Some(Placed {
        status: 200,
        body: text.clone(),
        trace: Some(TRACE),
        took: Duration::ZERO,
    });
    let mut replicas = browser.mesh.replicas.lock().unwrap();
    replicas[0].name = text.clone();
    replicas[1].state = crate::State::Waiting(vec![text.clone()]);
    replicas[2].process = text;
    drop(replicas);
    browser
}

fn is_escaped(path: &str, text: &str) {
    let lower = text.to_ascii_lowercase();
    assert!(!lower.contains("<script>alert"), "{path}: {text}");
    assert!(!lower.contains("\"' onmouseover"), "{path}: {text}");
    assert!(
        lower.contains("&lt;script&gt;alert"),
        "{path} shows it: {text}"
    );
}

#[tokio::test]
async fn a_strangers_text_is_escaped_on_every_view() {
    let browser = hostile();
    let answer = browser.post("/try", "token_name=tok_ok").await;
    let paths = [
        "/",
        "/break",
        "/traces",
        &format!("/traces/{TRACE}"),
        &format!("/traces/{TRACE}?span=0000000000000001"),
        answer.location(),
        "/traces?route=%3Cscript%3Ealert(1)%3C/script%3E",
        "/traces?status=%3Cscript%3Ealert(1)%3C/script%3E",
        "/traces?id=%3Cscript%3Ealert(1)%3C/script%3E",
        "/traces/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/try/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        &format!("/traces/{TRACE}?scale=%3Cscript%3Ealert(1)%3C/script%3E"),
    ];
    for path in paths {
        is_escaped(path, &browser.get(path).await.text);
    }
    for (path, fields) in [
        ("/try", "token_name"),
        ("/break/kill", "replica"),
        ("/break/scale", "replicas=1&process"),
        ("/break/scale", "process=fulfillment&replicas"),
    ] {
        let fields = format!("{fields}=%3Cscript%3Ealert(1)%3C/script%3E");
        is_escaped(path, &browser.post(path, &fields).await.text);
    }
}

#[tokio::test]
async fn the_largest_trace_is_answered_soon_and_within_bounds() {
    let browser = Browser::new();
    let long = "x".repeat(1 << 20);
    let mut spans = vec![Made::new("gateway", 1, 0, &long, (0, 1000)).with(&long, &long)];
    for id in 2..10_000 {
        // A chain as deep as it is long at first, then siblings of no known parent.
        let parent = if id < 3000 { id - 1 } else { 1_000_000 + id };
        let span = Made::new("orders", id, parent, "step", (id / 20, 10)).left(4000);
        spans.push(
            span.with("a", "b")
                .with("c", "d")
                .with("e", "f")
                .with("g", "h"),
        );
    }
    receive(&browser.store, Duration::from_secs(1), &spans);
    // The first may have to find its pages in memory.
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let seen = browser.get(&format!("/traces/{TRACE}")).await;
        fastest = fastest.min(start.elapsed());
        assert_eq!(seen.between("<tr id=\"s-", "\"").len(), 2000);
        assert!(seen.has("more spans are kept and not shown"));
        assert!(seen.text.len() < 8 << 20, "{}", seen.text.len());
    }
    // Ten times the promise: this is a debug build on whatever machine.
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    // What did not fit is there when it is asked for.
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    let link = *seen
        .between(
            "<a href=\"/traces/4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b?span=",
            "#",
        )
        .last()
        .unwrap();
    let seen = browser.get(&format!("/traces/{TRACE}?span={link}")).await;
    let row = seen.between(&format!("data-span=\"{link}\""), "</details>")[0];
    assert!(row.contains("<details open"), "{row}");
}

#[tokio::test]
async fn parents_in_a_circle_and_without_parents_are_drawn() {
    let browser = Browser::new();
    let spans = [
        Made::new("a", 1, 2, "one", (0, 5)),
        Made::new("b", 2, 1, "two", (0, 5)),
        Made::new("c", 3, 99, "three", (1, 0)),
        Made::new("d", 4, 4, "", (1, 1)),
    ];
    receive(&browser.store, Duration::from_secs(1), &spans);
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    assert_eq!(seen.between("data-span=\"", "\"").len(), 4);
    assert!(seen.has("parent not received") && seen.has("(no name)"));
}

#[tokio::test]
async fn a_long_status_leaves_room_for_the_rest() {
    let browser = Browser::new();
    let long = "W".repeat(4000);
    let made = Made::new("gateway", 1, 0, "x", (0, 5)).with("http.response.status_code", &long);
    receive(&browser.store, Duration::from_secs(1), &[made]);
    let waiting = crate::State::Waiting(vec![long.clone()]);
    browser.mesh.set("orders", waiting);
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    for badge in seen.between("class=\"badge\">", "</span>") {
        assert_eq!(badge.chars().count(), 40, "{badge}");
    }
    assert!(seen.has(&long), "the whole of it is among the attributes");
    assert!(!browser.get("/traces").await.has(&"W".repeat(50)));
    let map = browser.get("/").await;
    let sentence = map.between("role=\"status\">", "</p>")[0];
    assert!(sentence.chars().count() < 150, "{sentence}");
}
