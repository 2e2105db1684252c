//! What people see, and where their clicks lead.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::{
    mesh::{LogLine, Queue, State},
    testing::{Browser, Made, ORIGIN, Seen, TRACE, receive, replica, request},
};
use mesh_traces::TraceId;

#[tokio::test]
async fn from_the_first_page_to_a_trace_are_two_clicks() {
    let browser = Browser::new();
    let map = browser.get("/").await;
    let form = map.between("<form method=\"post\" action=\"/try\"", "</form>")[0];
    let token = form.split("name=\"token\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    for choice in ["tok_ok", "tok_declined", "tok_slow", "tok_silent"] {
        assert!(form.contains(&format!("<button name=\"token_name\" value=\"{choice}\">")));
    }

    // The first.
    let body = format!("token={token}&token_name=tok_ok");
    let headers = [("host", "127.0.0.1:9460"), ("origin", ORIGIN)];
    let sent = browser
        .send(request(http::Method::POST, "/try", &headers, &body))
        .await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(*browser.mesh.done.lock().unwrap(), ["place tok_ok"]);
    let answer = browser.get(sent.location()).await;
    assert!(answer.has("201 Created") && answer.has("42.0 ms"));
    assert!(answer.has("&quot;status&quot;: &quot;confirmed&quot;"));

    // The second.
    let link = answer.between("id=\"see-trace\" href=\"", "\"")[0];
    let waiting = browser.get(link).await;
    assert_eq!(waiting.status, StatusCode::OK);
    assert!(waiting.has("on its way") && waiting.has("data-refresh=\"trace\" data-have=\"0\""));
    assert_eq!(
        browser.get(&format!("{link}?have=0")).await.status,
        StatusCode::NO_CONTENT
    );

    receive(
        &browser.store,
        Duration::from_secs(1),
        &crate::testing::order(),
    );
    let trace = browser.get(&format!("{link}?have=0")).await;
    assert!(trace.has("<h1>POST /v1/orders</h1>"));
    assert_eq!(
        trace.between("<tr id=\"s-", "</tr>").len(),
        7,
        "every span of the order"
    );
}

#[tokio::test]
async fn the_waterfall_shows_processes_budgets_and_the_critical_path() {
    let browser = Browser::with_order();
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    let rows = seen.between("data-span=\"", ">");
    let field = |row: &str, name: &str| -> String {
        let value = row.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
        value.split('"').next().unwrap().to_owned()
    };
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            let of = |name| field(row, name);
            (
                of("data-process"),
                of("data-remaining-ms"),
                of("data-depth"),
            )
        })
        .collect();
    let expected = [
        ("gateway", "5000", "0"),
        ("gateway", "4750", "1"),
        ("orders", "4600", "2"),
        ("orders", "4590", "3"),
        ("inventory", "650", "4"),
        ("orders", "4570", "3"),
        ("payments", "3400", "4"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(found, expected);
    assert!(seen.has("5.00 s") && seen.has("19.0 ms") && seen.has(">201</span>"));
    assert!(seen.has("http.response.status_code"));
    assert!(seen.has(&format!("href=\"http://127.0.0.1:16686/trace/{TRACE}\"")));
    // A bar takes as much of the chart as its span of the trace; what is left of the budget goes on to the edge.
    let bar = seen.between("data-process=\"payments\"", "</svg>")[0];
    assert!(
        bar.contains(r#"<rect class="took" x="38.64%" y="5" width="43.18%""#),
        "{bar}"
    );
    assert!(
        bar.contains(r#"<rect class="left" x="81.82%" y="6" width="18.18%""#),
        "{bar}"
    );
    assert!(!bar.contains("class=\"deadline\""), "it is outside");
}

#[tokio::test]
async fn the_critical_path_is_marked_on_its_bars_and_in_words() {
    let browser = Browser::new();
    let spans = [
        Made::new("orders", 1, 0, "all", (0, 100)),
        Made::new("orders", 2, 1, "waited-for", (10, 80)),
        Made::new("orders", 3, 1, "beside-it", (20, 10)),
    ];
    receive(&browser.store, Duration::from_secs(1), &spans);
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    let rows = seen.between("<tr id=\"s-", "</tr>");
    for (row, is_critical) in rows.iter().zip([true, true, false]) {
        assert_eq!(
            row.contains("<rect class=\"critical\""),
            is_critical,
            "{row}"
        );
        assert_eq!(row.contains("on the critical path"), is_critical, "{row}");
    }
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn on_the_other_scale_the_deadlines_are_in_the_picture() {
    let browser = Browser::with_order();
    let link = format!("/traces/{TRACE}?scale=deadline");
    assert!(browser.get(&format!("/traces/{TRACE}")).await.has(&link));
    let seen = browser.get(&link).await;
    // The gateway's 5 s are all of it: 44 ms of it are taken.
    let bar = seen.between("data-process=\"gateway\"", "</svg>")[0];
    assert!(
        bar.contains(r#"<rect class="left" x="0.88%" y="6" width="99.12%""#),
        "{bar}"
    );
    assert!(
        bar.contains("<rect class=\"deadline\" x=\"100.00%\""),
        "{bar}"
    );
    assert!(seen.has("?scale=trace"));

    // A message that was left behind has far more time; it is not the request's.
    let mut left = Made::new("fulfillment", 20, 7, "process", (30, 5)).left(30_000);
    left.parent = 1;
    receive(&browser.store, Duration::from_secs(1), &[left]);
    let seen = browser.get(&link).await;
    let budgets = seen.between("data-process=\"gateway\"", "</tr>")[0];
    let gauge = "height=\"4\" aria-hidden=\"true\"><rect class=\"left\" width=\"100.00%\"";
    assert!(budgets.contains(gauge), "{budgets}");
    assert!(seen.has(">5.00 s</text>"), "the end of the axis");

    // Where the trace takes much of the budget, that is what one sees first.
    let slow = TraceId([7; 16]);
    let mut made = Made::new("gateway", 1, 0, "slow", (0, 2000)).left(5000);
    made.trace = slow;
    receive(&browser.store, Duration::from_secs(2), &[made]);
    let seen = browser.get(&format!("/traces/{slow}")).await;
    assert!(
        seen.has(r#"<rect class="took" x="0.00%" y="5" width="40.00%""#),
        "{}",
        seen.text
    );
}

#[tokio::test]
async fn log_lines_stand_beside_the_span_and_below() {
    let browser = Browser::with_order();
    let line = |process: &str, level: &str, text: &str| LogLine {
        process: process.to_owned(),
        time: "2026-11-22T20:01:02.345678Z".to_owned(),
        level: level.to_owned(),
        text: text.to_owned(),
    };
    *browser.mesh.logs.lock().unwrap() = vec![
        line("payments", "INFO", "charged route=Charge"),
        line("orders", "ERROR", "lost the plot"),
    ];
    let seen = browser.get(&format!("/traces/{TRACE}")).await;
    assert!(seen.has("Log lines (2)") && seen.has("20:01:02.345"));
    // Once in the span with which the request came to payments, once below.
    assert_eq!(seen.between("charged route=Charge", "<").len(), 2);
    assert!(seen.has("Log of payments"));
    assert!(seen.has("<td class=\"bad\">ERROR</td>"));
}

#[tokio::test]
async fn a_trace_that_is_not_whole_says_so_until_it_is() {
    let browser = Browser::new();
    let order = crate::testing::order();
    let path = format!("/traces/{TRACE}");
    receive(&browser.store, Duration::from_secs(1), &order[2..]);
    let seen = browser.get(&path).await;
    assert!(seen.has("Not all of it has arrived yet") && seen.has("data-refresh=\"trace\""));
    assert!(seen.has("data-have=\"5\""));
    let nothing_new = browser.get(&format!("{path}?have=5")).await;
    assert_eq!(nothing_new.status, StatusCode::NO_CONTENT);
    receive(&browser.store, Duration::from_secs(1), &order[..2]);
    let seen = browser.get(&format!("{path}?have=5")).await;
    assert!(!seen.has("Not all of it") && seen.has("data-have=\"7\""));

    // Long after, nothing more is expected.
    let old = TraceId([9; 16]);
    let mut made = Made::new("orders", 1, 77, "late", (0, 5));
    made.trace = old;
    receive(&browser.store, Duration::from_secs(120), &[made]);
    let seen = browser.get(&format!("/traces/{old}?have=1")).await;
    assert!(seen.has("name a parent that was not received") && !seen.has("data-refresh"));
}

#[tokio::test]
async fn traces_are_found_by_each_filter_and_by_several() {
    let browser = Browser::with_order();
    let mut other = Made::new("gateway", 9, 0, "GET /v1/products", (0, 3));
    other.trace = TraceId([0xc0; 16]);
    other = other.with("http.response.status_code", "503");
    other.failed = true;
    receive(&browser.store, Duration::ZERO, &[other]);
    let (order, products) = (TRACE.to_string(), TraceId([0xc0; 16]).to_string());
    for (query, expected) in [
        ("", &[&products, &order][..]),
        ("?route=&status=&at_least=&id=", &[&products, &order]),
        ("?route=orders", &[&order]),
        ("?status=error", &[&products]),
        ("?at_least=20", &[&order]),
        ("?at_least=20ms&route=PRODUCTS", &[]),
        ("?id=C0C0", &[&products]),
        ("?limit=1", &[&products]),
    ] {
        let seen = browser.get(&format!("/traces{query}")).await;
        assert_eq!(seen.status, StatusCode::OK);
        assert_eq!(seen.between("data-trace=\"", "\""), expected, "{query}");
        let json: Value =
            serde_json::from_str(&browser.get(&format!("/api/traces{query}")).await.text).unwrap();
        let ids: Vec<_> = json["traces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|trace| trace["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(json["stats"]["spans"], 8);
    }
    let seen = browser.get("/traces?route=orders&status=error").await;
    assert!(seen.has("No trace is like that") && seen.has("value=\"orders\""));
    assert!(seen.has("Kept: 2 traces of 8 spans") && seen.has("Dropped: 0 traces, 0 spans."));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_words() {
    let browser = Browser::with_order();
    let unknown = TraceId([1; 16]);
    for (path, status, words) in [
        ("/traces?status=!", 400, "is no status"),
        ("/traces?at_least=soon", 400, "is no duration"),
        ("/traces?id=xyz", 400, "is no trace id"),
        ("/traces?limit=0", 400, "is no limit"),
        ("/traces?id=a&id=b", 400, "Bad Request"),
        ("/traces/xyz", 400, "is no trace id"),
        ("/traces/%FF", 400, "Bad Request"),
        (&format!("/traces/{TRACE}?scale=huge"), 400, "is no scale"),
        (&format!("/traces/{unknown}"), 404, "The trace is not here"),
        ("/try/7", 404, "there is no try"),
        ("/nowhere", 404, "there is no such page"),
    ] {
        let seen = browser.get(path).await;
        assert_eq!(seen.status.as_u16(), status, "{path}");
        assert!(seen.has(words), "{path}: {}", seen.text);
        assert!(seen.has("<html lang=\"en\"") && seen.has("<h1>"), "{path}");
    }
    for (path, status, words) in [
        ("/api/traces?status=!&limit=x", 400, "is no limit"),
        ("/api/traces?id=a&id=b", 400, "address"),
        ("/api/traces/xyz", 400, "is no trace id"),
        (&format!("/api/traces/{unknown}"), 404, "is not here"),
        ("/api/nowhere", 404, "there is no such page"),
    ] {
        let seen = browser.get(path).await;
        assert_eq!(seen.status.as_u16(), status, "{path}");
        assert_eq!(
            seen.headers["content-type"], "application/problem+json",
            "{path}"
        );
        let problem: Value = serde_json::from_str(&seen.text).unwrap();
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"].as_str().unwrap().contains(words),
            "{path} {problem}"
        );
    }
    let empty = Browser::new();
    assert_eq!(
        empty.get("/api/traces/last").await.status,
        StatusCode::NOT_FOUND
    );
    assert!(empty.get("/traces").await.has("No trace yet"));
}

#[tokio::test]
async fn programs_get_what_the_store_has() {
    let browser = Browser::with_order();
    let stored = serde_json::to_value(browser.store.get(TRACE).unwrap()).unwrap();
    for path in ["/api/traces/last", &format!("/api/traces/{TRACE}")] {
        let seen = browser.get(path).await;
        assert_eq!(seen.headers["content-type"], "application/json");
        let json: Value = serde_json::from_str(&seen.text).unwrap();
        assert_eq!(json, stored);
    }
}

/// The state of a node of the map, and all that is in it.
fn node<'a>(seen: &'a Seen, process: &str) -> (&'a str, &'a str) {
    let node = seen.between(
        &format!("data-process=\"{process}\" data-state=\""),
        "class=\"process\"",
    )[0];
    (node.split('"').next().unwrap(), node)
}

#[tokio::test]
async fn the_map_shows_states_figures_calls_and_the_queue() {
    let browser = Browser::new();
    let seen = browser.get("/").await;
    for process in ["gateway", "orders", "inventory", "payments", "fulfillment"] {
        assert_eq!(node(&seen, process).0, "ready");
        for figure in ["18.4 ms", "0/s", ">3<"] {
            assert!(
                node(&seen, process).1.contains(figure),
                "{process} {figure}"
            );
        }
    }
    assert!(node(&seen, "gateway").1.contains("24.5/s"));
    assert!(
        node(&seen, "fulfillment").1.contains("7.25/s"),
        "what it consumes"
    );
    let edges = seen.between("data-call=\"", "\"");
    assert_eq!(
        edges,
        [
            "customers-gateway",
            "gateway-orders",
            "gateway-inventory",
            "orders-inventory",
            "orders-payments",
            "fulfillment-orders",
            "fulfillment-inventory",
            "orders-queue",
            "queue-fulfillment"
        ]
    );
    let call = seen.between("data-call=\"orders-payments\"", "</g>")[0];
    assert!(
        call.contains("13.2/s") && call.contains("4.21 ms"),
        "{call}"
    );
    for (edge, rate) in [("orders-queue", "7.50/s"), ("queue-fulfillment", "7.25/s")] {
        let messages = seen.between(&format!("data-call=\"{edge}\""), "</g>")[0];
        assert!(messages.contains(rate), "{messages}");
    }
    assert!(seen.has("data-queue=\"5\"") && seen.has("All 5 replicas are ready."));
    assert!(seen.has("11.0 MiB") && seen.has("127.0.0.1:50051"));
}

#[tokio::test]
async fn the_map_says_in_words_and_shapes_what_is_wrong() {
    let mesh = crate::testing::mesh();
    mesh.replicas
        .lock()
        .unwrap()
        .push(replica("fulfillment", 2, State::Paused));
    mesh.set("payments", State::Down);
    mesh.set("inventory", State::Waiting(vec!["store".to_owned()]));
    mesh.set("orders", State::Starting);
    *mesh.queue.lock().unwrap() = Some(Queue {
        ready: 1200,
        dead: 3,
    });
    mesh.figures
        .lock()
        .unwrap()
        .get_mut("orders")
        .unwrap()
        .calls[1]
        .errors = 2.5;
    mesh.figures.lock().unwrap().remove("gateway");
    let seen = Browser::of(mesh).get("/").await;
    for (process, state, words) in [
        ("payments", "down", ">down<"),
        ("inventory", "waiting", ">waits for store<"),
        ("orders", "starting", ">starting<"),
        ("fulfillment", "paused", ">1 of 2 ready<"),
        ("gateway", "ready", "–"),
    ] {
        let (found, node) = node(&seen, process);
        assert_eq!(found, state);
        assert!(node.contains(words), "{process}: {node}");
    }
    assert!(seen.has("data-replica=\"fulfillment-2\" data-state=\"paused\""));
    let call = seen.between("data-call=\"orders-payments\"", "</g>")[0];
    assert!(call.contains("✕ 2.50/s"), "{call}");
    assert!(seen.has("class=\"edge failing\" data-call=\"orders-payments\""));
    assert!(seen.has("✕ 3") && seen.has("1,200"));
    let sentence = "orders is starting, inventory waits for store, payments is down, fulfillment-2 is paused; 2 of 6";
    assert!(seen.has(sentence), "{}", seen.text);
    // Nothing runs at all.
    let seen = Browser::of(crate::testing::FakeMesh::default())
        .get("/")
        .await;
    assert_eq!(node(&seen, "orders").0, "none");
    assert!(
        seen.has("Nothing runs.") && seen.has("the queue does not answer") && seen.has("None yet.")
    );
}

#[tokio::test]
async fn every_view_can_be_walked_by_keyboard_and_heard() {
    let browser = Browser::with_order();
    for (path, current) in [
        ("/", "Map"),
        ("/traces", "Traces"),
        (&format!("/traces/{TRACE}"), "Traces"),
        ("/try", "Try"),
        ("/break", "Break"),
    ] {
        let seen = browser.get(path).await;
        assert_eq!(seen.between("<h1>", "</h1>").len(), 1, "{path}");
        for part in [
            "<html lang=\"en\"",
            "width=device-width",
            "<a class=\"skip\" href=\"#main\">",
            "<main id=\"main\" tabindex=\"-1\">",
            "<nav aria-label=\"Views\">",
            &format!("aria-current=\"page\">{current}</a>"),
        ] {
            assert!(seen.has(part), "{path} {part}");
        }
        // Whatever scrolls in its own box can be reached and has a name.
        for region in seen.between("class=\"scroll\"", ">") {
            assert!(
                region.contains("tabindex=\"0\"") && region.contains("aria-label"),
                "{path} {region}"
            );
        }
        for table in seen.between("<table", "</table>") {
            assert!(table.contains("scope=\"col\""), "{path} {table}");
        }
    }
}
