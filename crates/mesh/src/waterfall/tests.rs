//! What is drawn, of good traces and of bad ones.

use std::time::{Duration, UNIX_EPOCH};

use mesh_traces::{Event, Kind, Summary, TraceId};

use super::*;

fn paper(width: usize) -> Paper {
    Paper {
        width,
        palette: Palette { on: false },
    }
}

/// Offset and duration in microseconds.
fn row(depth: usize, process: &str, name: &str, (offset, duration): (u64, u64)) -> SpanRow {
    SpanRow {
        id: String::new(),
        parent: None,
        depth,
        process: process.to_owned(),
        service: process.to_owned(),
        name: name.to_owned(),
        kind: Kind::Server,
        offset: Duration::from_micros(offset),
        duration: Duration::from_micros(duration),
        remaining: None,
        cap: None,
        error: None,
        status: String::new(),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        is_critical: true,
        is_detached: false,
    }
}

fn trace(spans: Vec<SpanRow>) -> Trace {
    let ends = spans.iter().map(|row| row.offset + row.duration);
    let mut processes: Vec<String> = spans.iter().map(|row| row.process.clone()).collect();
    processes.dedup();
    Trace {
        summary: Summary {
            id: "4bf92f3577b34da6a3ce929d0e0e4736"
                .parse::<TraceId>()
                .unwrap(),
            start: UNIX_EPOCH + Duration::from_secs(1_795_000_000),
            duration: ends.max().unwrap_or_default(),
            took: spans[0].duration,
            route: spans[0].name.clone(),
            status: spans[0].status.clone(),
            is_error: false,
            spans: spans.len(),
            processes,
        },
        spans,
        left_out: 0,
    }
}

/// An order, as our processes tell of it.
fn order() -> Trace {
    let told = |row: SpanRow, remaining: u64, status: &str| SpanRow {
        remaining: Some(Duration::from_millis(remaining)),
        status: status.to_owned(),
        ..row
    };
    let rpc = |service: &str, method: &str| {
        format!(
            "shop.{}.v1.{service}Service/{method}",
            service.to_lowercase()
        )
    };
    let place = rpc("Orders", "PlaceOrder");
    let (reserve, charge) = (rpc("Inventory", "Reserve"), rpc("Payments", "Charge"));
    let mut trace = trace(vec![
        told(
            row(0, "gateway", "POST /v1/orders", (0, 40_000)),
            5_000,
            "201",
        ),
        told(row(1, "gateway", &place, (1_000, 38_000)), 4_600, "OK"),
        told(row(2, "orders", &place, (2_000, 36_000)), 4_350, "OK"),
        told(row(3, "orders", &reserve, (3_000, 9_000)), 4_300, "OK"),
        told(row(4, "inventory", &reserve, (4_000, 7_000)), 620, "OK"),
        told(row(3, "orders", &charge, (20_000, 17_000)), 4_280, "OK"),
        told(row(4, "payments", &charge, (21_000, 15_000)), 3_390, "OK"),
        row(3, "orders", "publish shop", (38_000, 1_000)),
    ]);
    trace.spans[7].is_critical = false;
    trace
}

#[test]
fn an_order_fits_eighty_columns() {
    assert_eq!(draw(&order(), paper(80)), include_str!("order-80.txt"));
}

#[test]
fn in_sixty_columns_names_are_shorter() {
    assert_eq!(draw(&order(), paper(60)), include_str!("order-60.txt"));
}

#[test]
fn what_went_wrong_is_told_below() {
    let mut trace = order();
    trace.summary.is_error = true;
    trace.spans[5].error = Some("payments: no answer within 3.4s".to_owned());
    trace.spans[3].events = vec![Event {
        name: "mesh.call.not_started".to_owned(),
        offset: Duration::ZERO,
        attributes: vec![("reason".to_owned(), "deadline".to_owned())],
    }];
    trace.spans[6].is_detached = true;
    trace.left_out = 12;
    trace.summary.duration *= 2;
    for line in [
        "POST /v1/orders  201  40.0 ms, to its last span 80.0 ms\n",
        "! orders PaymentsService/Charge: payments: no answer within 3.4s\n",
        "! orders InventoryService/Reserve: mesh.call.not_started reason=deadline\n",
        "? PaymentsService/Charge",
        "? its parent is missing",
        "8 of 20 spans",
    ] {
        let drawn = draw(&trace, paper(100));
        assert!(drawn.contains(line), "{line} in\n{drawn}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_whatever_the_spans_are_called() {
    let names = [
        "",
        "<script>alert(1)</script>",
        "\x1b[2J\x1b]0;title\x07\r\n\u{202e}",
        "注文を受け取る注文を受け取る注文を受け取る",
        "a/b/c/d",
        "/",
        "e\u{301}\u{301}\u{301}",
        "\t\t\t\t",
    ];
    let long = "x".repeat(4_000);
    let spans: Vec<SpanRow> = (0..200)
        .map(|n| {
            let name = names.get(n % 9).copied().unwrap_or(&long);
            let mut span = row(n, name, name, (n as u64, u64::MAX / 2_000_000));
            span.status = name.to_owned();
            span.error = Some(name.to_owned());
            span.remaining = Some(Duration::from_nanos(u64::MAX));
            span.is_detached = n % 3 == 0;
            span
        })
        .collect();
    let mut trace = trace(spans);
    trace.left_out = 8_000;
    for width in [30, 31, 40, 59, 60, 79, 80, 130] {
        let drawn = draw(&trace, paper(width));
        assert_eq!(drawn.lines().filter(|line| line.contains('█')).count(), 201);
        for line in drawn.lines() {
            assert!(cells::width(line) <= width, "{width}: {line}");
            assert!(!line.contains(crate::record::steers), "{line:?}");
        }
    }
}

#[test]
fn a_trace_without_time_is_drawn_too() {
    let drawn = draw(&trace(vec![row(0, "gateway", "x", (0, 0))]), paper(80));
    assert!(drawn.contains("█") && drawn.contains("0 µs"), "{drawn}");
}

#[test]
fn colours_are_kept_to_terminals() {
    let on = Paper {
        width: 80,
        palette: Palette { on: true },
    };
    assert!(draw(&order(), on).contains("\x1b[3"));
    assert!(!draw(&order(), paper(80)).contains('\x1b'));
}

#[test]
fn the_tree_is_drawn_with_lines() {
    let depths = [0, 1, 2, 2, 1, 2, 0, 14];
    let rows: Vec<_> = depths
        .iter()
        .map(|depth| row(*depth, "p", "n", (0, 0)))
        .collect();
    let expected = ["", "├ ", "│ ├ ", "│ └ ", "└ ", "  └ ", ""];
    let drawn = branches(&rows);
    assert_eq!(drawn[..7], expected);
    assert_eq!(drawn[7], format!("{}⋮ ", " ".repeat(2 * (LEVELS - 1))));
}
