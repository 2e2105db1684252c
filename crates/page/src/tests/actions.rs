//! What is pressed is done, and told.

use http::StatusCode;

use crate::testing::Browser;

#[tokio::test]
async fn what_is_pressed_reaches_the_mesh_and_is_told() {
    let browser = Browser::new();
    let page = browser.get("/break").await;
    for replica in ["gateway", "orders", "inventory", "payments", "fulfillment"] {
        for action in ["kill", "pause", "restart"] {
            assert!(
                page.has(&format!("data-{action}=\"{replica}\"")),
                "{action} {replica}"
            );
        }
    }
    assert_eq!(page.between("data-workers=\"", "\"").len(), 10);
    assert!(page.has("data-workers=\"1\" aria-current=\"true\""));
    assert!(page.has("Nothing yet."));

    for (number, (path, fields, done, told)) in [
        (
            "/break/kill",
            "replica=orders",
            "kill orders",
            "did kill orders",
        ),
        (
            "/break/pause",
            "replica=gateway",
            "pause gateway",
            "did pause gateway",
        ),
        (
            "/break/restart",
            "replica=fulfillment",
            "restart fulfillment",
            "did restart fulfillment",
        ),
        (
            "/break/scale",
            "process=fulfillment&replicas=10",
            "scale fulfillment 10",
            "did scale fulfillment 10",
        ),
        (
            "/break/kill",
            "replica=payments",
            "kill payments",
            "✕ not done: cannot kill payments",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = browser.post(path, fields).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        assert_eq!(sent.location(), format!("/break?done={}", number + 1));
        assert_eq!(browser.mesh.done.lock().unwrap().last().unwrap(), done);
        let page = browser.get(sent.location()).await;
        let status = page.between("class=\"done\" role=\"status\">", "</p>")[0];
        assert!(status.contains(told), "{status}");
        assert_eq!(page.between("id=\"deed-", "\"").len(), number + 1);
    }
}

#[tokio::test]
async fn what_is_not_on_the_page_is_not_done() {
    let browser = Browser::new();
    for (path, fields, words) in [
        ("/break/kill", "replica=postgres", "there is no replica"),
        ("/break/kill", "", "lacks the field replica"),
        ("/break/pause", "replica=", "there is no replica"),
        (
            "/break/scale",
            "process=orders&replicas=2",
            "is not scaled here",
        ),
        (
            "/break/scale",
            "process=fulfillment&replicas=0",
            "is no number of workers",
        ),
        (
            "/break/scale",
            "process=fulfillment&replicas=11",
            "is no number of workers",
        ),
        (
            "/break/scale",
            "process=fulfillment&replicas=-1",
            "is no number of workers",
        ),
        (
            "/break/scale",
            "process=fulfillment",
            "lacks the field replicas",
        ),
        ("/try", "token_name=tok_gold", "is no payment token"),
        ("/try", "", "lacks the field token_name"),
    ] {
        let seen = browser.post(path, fields).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{path} {fields}");
        assert!(seen.has(words), "{path} {fields}: {}", seen.text);
    }
    assert!(browser.mesh.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_try_that_failed_says_why_and_every_try_is_listed() {
    let browser = Browser::new();
    browser.post("/try", "token_name=tok_slow").await;
    *browser.mesh.placed.lock().unwrap() = None;
    let sent = browser.post("/try", "token_name=tok_ok").await;
    let seen = browser.get(sent.location()).await;
    assert!(seen.has("The gateway was not reached: nobody listens"));
    assert!(!seen.has("See its trace"));
    let seen = browser.get("/try").await;
    assert_eq!(
        seen.between("<a href=\"/try/", "\""),
        ["2", "1"],
        "newest first"
    );
    assert!(seen.has("no answer") && seen.has("at http://127.0.0.1:8080"));
}
