//! Traces: the newest first, filters, and what the store keeps and drops.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    response::{Html, IntoResponse, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use mesh_traces::{Stats, Summary};

use crate::{
    app::App,
    figure,
    filter::Asked,
    layout::{self, View},
    mesh::Mesh,
    waterfall::Percent,
};

/// Longer than any status of ours.
const STATUS: usize = 40;

/// `GET /traces`
pub(crate) async fn show<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Query(asked): Query<Asked>,
) -> Response {
    let (status, found) = match asked.parse() {
        Ok((filter, limit)) => {
            let traces = app.store.recent(&filter, limit);
            (StatusCode::OK, found(&traces, app.store.stats(), &asked))
        }
        Err(problems) => (StatusCode::BAD_REQUEST, refused(&problems)),
    };
    let main = html! {
        h1 { "Traces" }
        (form(&asked))
        (found)
    };
    let page = layout::page(&app, View::Traces, "Traces", &main);
    (status, Html(page)).into_response()
}

fn form(asked: &Asked) -> Markup {
    let fields = [
        ("route", "Route", "orders", &asked.route),
        ("status", "Status", "5xx, error", &asked.status),
        ("at_least", "At least", "50 ms", &asked.at_least),
        ("id", "Id", "4bf9…", &asked.id),
    ];
    html! {
        form method="get" action="/traces" class="filters" role="search" aria-label="Filter the traces" {
            @for (name, label, hint, value) in fields {
                label {
                    span { (label) }
                    input name=(name) value=(value) placeholder=(hint) autocomplete="off" spellcheck="false";
                }
            }
            button { "Filter" }
            @if asked.is_anything() { a href="/traces" { "Show all" } }
        }
    }
}

fn refused(problems: &[String]) -> Markup {
    html! {
        div class="problems" role="alert" { @for problem in problems { p { (problem) } } }
    }
}

/// What comes and goes by itself.
fn found(traces: &[Summary], stats: Stats, asked: &Asked) -> Markup {
    let longest = traces.iter().map(|trace| trace.duration).max();
    html! {
        div id="live" data-refresh="traces" {
            p class="faint" { (kept(stats)) }
            @if traces.is_empty() && asked.is_anything() {
                p class="lead" { "No trace is like that." }
            } @else if traces.is_empty() {
                p class="lead" { "No trace yet: " a href="/" { "place an order" } "." }
            } @else {
                div class="scroll" role="region" aria-label="Traces" tabindex="0" {
                    table class="list traces" {
                        thead {
                            tr {
                                th scope="col" { "Start (UTC)" }
                                th scope="col" { "Route" }
                                th scope="col" { "Status" }
                                th scope="col" class="number" { "Duration" }
                                th scope="col" { span class="hidden" { "Duration, drawn" } }
                                th scope="col" class="number" { "Spans" }
                                th scope="col" { "Processes" }
                                th scope="col" { "Id" }
                            }
                        }
                        tbody { @for trace in traces { (row(trace, longest.unwrap_or_default())) } }
                    }
                }
            }
        }
    }
}

fn kept(stats: Stats) -> String {
    let Stats {
        traces,
        spans,
        bytes,
        limit,
        dropped_traces,
        dropped_spans,
        received_spans: _,
    } = stats;
    format!(
        "Kept: {} traces of {} spans, {} of {}. Dropped: {} traces, {} spans.",
        figure::count(traces),
        figure::count(spans),
        figure::bytes(bytes),
        figure::bytes(limit),
        figure::count(dropped_traces),
        figure::count(dropped_spans),
    )
}

fn row(trace: &Summary, longest: Duration) -> Markup {
    let id = trace.id.to_string();
    let part = Percent::of(trace.duration.as_secs_f64(), longest.as_secs_f64());
    let route = if trace.route.is_empty() {
        "(no name)"
    } else {
        &trace.route
    };
    html! {
        tr id={ "t-" (id) } data-trace=(id) {
            td class="clock" { (figure::clock(trace.start)) }
            th scope="row" class="text" { a href={ "/traces/" (id) } { (route) } }
            td { (status(&trace.status, trace.is_error)) }
            td class="number" {
                (figure::duration(trace.duration))
                // The rest is what goes on when the customer has the answer.
                @if trace.took < trace.duration { div class="faint" { "answer " (figure::duration(trace.took)) } }
            }
            td class="gauge" {
                svg class="gauge" width="100%" height="8" aria-hidden="true" {
                    rect class="took" width=(part) height="8" rx="2" {}
                }
            }
            td class="number" { (figure::count(trace.spans as u64)) }
            td class="text" { (trace.processes.join(" · ")) }
            td { code { (figure::cut(&id, 9)) } }
        }
    }
}

/// How a request ended; a failure is not told by colour alone. The whole of a long one is among the attributes.
pub(crate) fn status(status: &str, is_error: bool) -> Markup {
    let status = figure::cut(status, STATUS);
    html! {
        @if is_error {
            span class="badge bad" { "✕ " @if status.is_empty() { "failed" } @else { (status) } }
        } @else if !status.is_empty() {
            span class="badge" { (status) }
        }
    }
}
