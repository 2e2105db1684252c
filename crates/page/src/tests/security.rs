//! Who is answered, and what every answer says of itself.

use http::{Method, StatusCode, header};

use crate::testing::{Browser, HOST, ORIGIN, TRACE, request};

const VIEWS: [&str; 11] = [
    "/",
    "/traces",
    "/traces/4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b",
    "/try",
    "/break",
    "/style.css",
    "/script.js",
    "/api/traces",
    "/api/traces/last",
    "/api/traces/4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b",
    "/events",
];

const ACTIONS: [(&str, &str); 5] = [
    ("/try", "token_name=tok_ok"),
    ("/break/kill", "replica=orders"),
    ("/break/pause", "replica=orders"),
    ("/break/restart", "replica=orders"),
    ("/break/scale", "process=fulfillment&replicas=3"),
];

#[tokio::test]
async fn every_route_is_for_this_page_alone() {
    let browser = Browser::with_order();
    assert!(VIEWS[2].ends_with(&TRACE.to_string()));
    for path in VIEWS.into_iter().chain(["/nowhere", "/try/1"]) {
        for stranger in [
            &[][..],
            &[("host", "evil.example:9460")],
            &[("host", "127.0.0.1:9461")],
            &[("host", HOST), ("host", HOST)],
            &[("host", HOST), ("origin", "http://evil.example")],
            &[("host", HOST), ("origin", "null")],
            &[("host", HOST), ("sec-fetch-site", "cross-site")],
            &[("host", HOST), ("sec-fetch-site", "same-site")],
        ] {
            let seen = browser.send(request(Method::GET, path, stranger, "")).await;
            assert_eq!(seen.status, StatusCode::FORBIDDEN, "{path} {stranger:?}");
            assert!(seen.text.len() < 100, "a stranger is told little");
            assert!(!seen.has("evil.example"));
        }
    }
    // Nor what could be asked instead.
    let post = request(Method::POST, "/traces", &[("host", HOST)], "");
    let answer = browser.ask(post).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(!answer.headers().contains_key(header::ALLOW));
    for path in VIEWS {
        for own in [
            &[("host", HOST)][..],
            &[("host", "localhost:9460"), ("sec-fetch-site", "none")],
            &[("host", "[::1]:9460"), ("sec-fetch-site", "same-origin")],
            &[("host", HOST), ("origin", ORIGIN)],
        ] {
            let request = request(Method::GET, path, own, "");
            // The events never end.
            let status = browser.ask(request).await.status();
            assert_eq!(status, StatusCode::OK, "{path} {own:?}");
        }
    }
}

#[tokio::test]
async fn an_action_needs_the_token_and_to_be_ours() {
    let browser = Browser::new();
    let token = browser.app.guard.token.expose();
    let own = [("host", HOST), ("origin", ORIGIN)];
    let fetched = [("host", HOST), ("sec-fetch-site", "same-origin")];
    let mut done = 0;
    for (path, fields) in ACTIONS {
        let right = format!("{fields}&token={token}");
        for (headers, body, expected) in [
            (&own[..], right.clone(), 303),
            (&fetched, right.clone(), 303),
            (&own, fields.to_owned(), 403),
            (&own, format!("{fields}&token="), 403),
            (&own, format!("{fields}&token={}0", &token[1..]), 403),
            (&own, format!("{right}&token={token}"), 400),
            (&[("host", HOST)], right.clone(), 403),
            (
                &[("host", HOST), ("sec-fetch-site", "none")],
                right.clone(),
                403,
            ),
            (
                &[("host", HOST), ("origin", "http://127.0.0.1:8080")],
                right.clone(),
                403,
            ),
            (
                &[("host", "evil.example"), ("origin", "http://evil.example")],
                right.clone(),
                403,
            ),
            (&own, format!("{right}&x={}", "x".repeat(5000)), 413),
        ] {
            let seen = browser
                .send(request(Method::POST, path, headers, &body))
                .await;
            assert_eq!(
                seen.status.as_u16(),
                expected,
                "{path} {headers:?} {}",
                seen.text
            );
            done += usize::from(expected == 303);
            let count = browser.mesh.done.lock().unwrap().len();
            assert_eq!(
                count, done,
                "{path} {headers:?}: only what is allowed is done"
            );
        }
        let mut json = request(Method::POST, path, &own, &right);
        json.headers_mut().remove(header::CONTENT_TYPE);
        assert_eq!(
            browser.send(json).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    }
}

#[tokio::test]
async fn nothing_is_done_by_get_and_other_methods_are_told_what_is_allowed() {
    let browser = Browser::new();
    let own = [("host", HOST), ("origin", ORIGIN)];
    for (path, _) in &ACTIONS[1..] {
        let path = format!(
            "{path}?replica=orders&token={}",
            browser.app.guard.token.expose()
        );
        let seen = browser.get(&path).await;
        assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(seen.headers[header::ALLOW], "POST");
        assert!(seen.has("<h1>Method Not Allowed</h1>"));
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let seen = browser.send(request(method, "/", &own, "")).await;
        assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(seen.headers[header::ALLOW], "GET,HEAD");
    }
    assert!(browser.mesh.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_answer_is_under_the_policy() {
    let browser = Browser::with_order();
    let own = [("host", HOST), ("origin", ORIGIN)];
    let stranger = [("host", "evil.example")];
    let mut requests = vec![
        request(Method::GET, "/nowhere", &own, ""),
        request(Method::GET, "/api/nowhere", &own, ""),
        request(Method::GET, "/traces/xyz", &own, ""),
        request(Method::GET, "/traces?status=!", &own, ""),
        request(Method::GET, "/", &stranger, ""),
        request(Method::DELETE, "/", &own, ""),
        request(Method::POST, "/try", &own, ""),
    ];
    requests.extend(VIEWS.map(|path| request(Method::GET, path, &own, "")));
    requests.extend(VIEWS.map(|path| request(Method::HEAD, path, &own, "")));
    for request in requests {
        let asked = format!("{} {}", request.method(), request.uri());
        let answer = browser.ask(request).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "{asked}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(!header("content-type").is_empty(), "{asked}");
    }
}

/// What the policy forbids would silently not work.
#[tokio::test]
async fn no_view_has_style_or_script_in_it_or_anything_from_elsewhere() {
    let browser = Browser::with_order();
    browser.post("/try", "token_name=tok_ok").await;
    browser.post("/break/kill", "replica=orders").await;
    for path in VIEWS[..5]
        .iter()
        .chain(&["/try/1", "/break?done=1", "/nowhere"])
    {
        let seen = browser.get(path).await;
        assert!(!seen.has(" style=") && !seen.has("<style"), "{path}");
        assert_eq!(
            seen.between("<script", ">"),
            [r#" src="/script.js" defer"#],
            "{path}"
        );
        for handler in [" onclick", " onload", " onsubmit", "javascript:"] {
            assert!(!seen.has(handler), "{path} {handler}");
        }
        for source in seen.between(" src=\"", "\"") {
            assert!(source.starts_with('/'), "{path} {source}");
        }
        for link in seen.between("<link ", ">") {
            let own = link.contains(r#"href="/style.css""#) || link.contains(r#"href="data:"#);
            assert!(own, "{path} {link}");
        }
    }
    let style = browser.get("/style.css").await;
    assert!(!style.has("url(") && !style.has("@import"));
}
