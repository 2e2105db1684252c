//! What moves by itself.

use std::{sync::atomic::Ordering, time::Duration};

use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    events,
    mesh::{Queue, State},
    testing::{Browser, HOST, order, receive, request},
};

/// An open connection to `/events`.
struct Listener(Body);

impl Listener {
    async fn new(browser: &Browser) -> Self {
        let answer = browser.ask(events()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut this = Self(answer.into_body());
        assert_eq!(this.chunk().await, "retry: 1000\n\n");
        this
    }

    async fn chunk(&mut self) -> String {
        let frame = self.0.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    /// Number and content of the next event.
    async fn event(&mut self) -> (u64, Value) {
        for _ in 0..10 {
            let chunk = self.chunk().await;
            if chunk == ": still here\n\n" {
                continue;
            }
            let lines: Vec<&str> = chunk.trim_end().lines().collect();
            let [id, event, data] = lines[..] else {
                panic!("{chunk}")
            };
            assert_eq!(event, "event: snapshot");
            let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            return (id, serde_json::from_str(data).unwrap());
        }
        panic!("nothing but signs of life")
    }
}

fn events() -> http::Request<Body> {
    request(Method::GET, "/events", &[("host", HOST)], "")
}

fn fragment<'a>(event: &'a Value, name: &str) -> &'a str {
    event["fragments"][name].as_str().unwrap()
}

/// Publishes for as long as the answer is kept.
fn publish(browser: &Browser) -> JoinSet<()> {
    let app = std::sync::Arc::clone(&browser.app);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { match events::publish(&app).await {} });
    tasks
}

#[tokio::test(start_paused = true)]
async fn listeners_see_what_changes_and_share_one_look_at_it() {
    let browser = Browser::new();
    let _publishing = publish(&browser);
    let mut first = Listener::new(&browser).await;
    let (id, event) = first.event().await;
    assert_eq!(event["start"], browser.app.events.start());
    assert!(fragment(&event, "map").contains("All 5 replicas are ready."));
    let mut second = Listener::new(&browser).await;
    assert_eq!(second.event().await.0, id, "the newest at once");

    *browser.mesh.queue.lock().unwrap() = Some(Queue { ready: 77, dead: 0 });
    let start = Instant::now();
    let looked = browser.mesh.looked.load(Ordering::SeqCst);
    let ((one, event), (two, _)) = tokio::join!(first.event(), second.event());
    assert!(fragment(&event, "map").contains("data-queue=\"77\""));
    assert_eq!((one, two), (id + 1, id + 1));
    assert!(
        start.elapsed() <= Duration::from_millis(1200),
        "{:?}",
        start.elapsed()
    );
    assert!(
        browser.mesh.looked.load(Ordering::SeqCst) <= looked + 2,
        "once for both"
    );

    receive(&browser.store, Duration::ZERO, &order());
    let (_, event) = first.event().await;
    assert_eq!(event["traces"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_away_for_a_moment_is_seen_to_be() {
    let browser = Browser::new();
    let _publishing = publish(&browser);
    let mut listener = Listener::new(&browser).await;
    listener.event().await;
    sleep(Duration::from_millis(50)).await;
    for (state, word) in [
        (State::Down, "down"),
        (State::Starting, "starting"),
        (State::Ready, "ready"),
    ] {
        browser.mesh.set("payments", state);
        let start = Instant::now();
        let (_, event) = listener.event().await;
        assert!(
            start.elapsed() <= Duration::from_millis(250),
            "{:?}",
            start.elapsed()
        );
        let expected = format!("data-process=\"payments\" data-state=\"{word}\"");
        assert!(fragment(&event, "map").contains(&expected), "{word}");
    }
    assert!(
        fragment(&listener_after_deed(&browser, &mut listener).await, "break")
            .contains("did kill orders")
    );
}

async fn listener_after_deed(browser: &Browser, listener: &mut Listener) -> Value {
    browser.post("/break/kill", "replica=orders").await;
    listener.event().await.1
}

#[tokio::test(start_paused = true)]
async fn nothing_is_computed_while_nobody_listens() {
    let browser = Browser::new();
    let _publishing = publish(&browser);
    let looked = || browser.mesh.looked.load(Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looked(), 0);
    let mut listener = Listener::new(&browser).await;
    listener.event().await;
    sleep(Duration::from_secs(10)).await;
    assert!((9..=12).contains(&looked()), "once a second: {}", looked());
    drop(listener);
    sleep(Duration::from_secs(2)).await;
    let after = looked();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looked(), after);
    // Who comes then sees what is, not what was.
    browser.mesh.set("orders", State::Paused);
    let mut listener = Listener::new(&browser).await;
    let (_, event) = listener.event().await;
    assert!(fragment(&event, "map").contains("orders is paused"));
}

#[tokio::test(start_paused = true)]
async fn the_line_is_kept_open_and_quiet_while_nothing_changes() {
    let browser = Browser::new();
    let _publishing = publish(&browser);
    let mut listener = Listener::new(&browser).await;
    listener.event().await;
    let start = Instant::now();
    assert_eq!(listener.chunk().await, ": still here\n\n");
    assert!(
        start.elapsed() >= Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn there_are_only_so_many_listeners() {
    let browser = Browser::new();
    let _publishing = publish(&browser);
    let mut listeners = Vec::new();
    for _ in 0..32 {
        listeners.push(Listener::new(&browser).await);
    }
    let refused = browser.ask(events()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    listeners.pop();
    Listener::new(&browser).await;
}

#[tokio::test(start_paused = true)]
async fn hostile_texts_stay_texts_in_what_is_sent() {
    let browser = Browser::new();
    let hostile = "<script>alert(1)</script>\n\ndata: {}\n\n\"'";
    browser.mesh.replicas.lock().unwrap()[0].name = hostile.to_owned();
    browser
        .mesh
        .set("orders", State::Waiting(vec![hostile.to_owned()]));
    let _publishing = publish(&browser);
    let (_, event) = Listener::new(&browser).await.event().await;
    for name in ["map", "tables", "break"] {
        let text = fragment(&event, name);
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(1)"), "{text}");
    }
}
