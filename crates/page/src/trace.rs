//! One trace: what is known of it, its waterfall, its log lines.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Path, Query, State},
    response::{Html, IntoResponse, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use mesh_traces::{Trace, TraceId};
use serde::Deserialize;

use crate::{
    app::App,
    figure,
    layout::{self, View},
    logs,
    mesh::{LogLine, Mesh},
    refusal::Refusal,
    traces,
    waterfall::{Scale, Waterfall},
};

/// As long as spans are exported, and messages wait, at the most; then nothing more is expected.
const YOUNG: Duration = Duration::from_secs(60);

/// What the address may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// `trace` or `deadline`: where the picture ends.
    scale: String,
    /// The span whose attributes are wanted in any case.
    span: String,
    /// As many spans as the page already shows.
    have: String,
}

/// `GET /traces/{id}`
pub(crate) async fn show<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let Some(trace) = app.store.get(id) else {
        return Ok(missing(&app, id, &asked));
    };
    let refresh = is_young(&trace).then_some("trace");
    if refresh.is_some() && asked.have == trace.summary.spans.to_string() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let lines = app.mesh.logs(id);
    let waterfall = Waterfall::new(&trace, &lines, Scale::parse(&asked.scale)?, &asked.span);
    let main = html! {
        div id="live" data-refresh=[refresh] data-have=(trace.summary.spans) {
            (head(&app, &trace))
            (waterfall.draw())
            (log(&lines))
        }
    };
    let title = figure::cut(&trace.summary.route, 60);
    Ok(Html(layout::page(&app, View::Traces, &title, &main)).into_response())
}

pub(crate) fn parse(id: &str) -> Result<TraceId, Refusal> {
    id.parse().map_err(|error| {
        let id = figure::cut(id, 60);
        Refusal::bad_request(format!("{id:?} is no trace id: {error}"))
    })
}

pub(crate) fn unknown(id: TraceId) -> Refusal {
    Refusal::not_found(format!(
        "the trace {id} is not here: it has not arrived yet, was not sampled, or made room for newer ones"
    ))
}

/// It may be on its way: an order that was placed from here surely is.
fn missing<M: Mesh>(app: &App<M>, id: TraceId, asked: &Asked) -> Response {
    if asked.have == "0" {
        return StatusCode::NO_CONTENT.into_response();
    }
    let is_expected = app.has_tried(id);
    let main = html! {
        div id="live" data-refresh="trace" data-have="0" {
            h1 { "Trace" }
            p class="lead" role="status" {
                @if is_expected { "The trace is on its way: its spans arrive within seconds." }
                @else { "The trace is not here: it has not arrived yet, was not sampled, or made room for newer ones." }
            }
            p { code { (id) } }
        }
    };
    let status = if is_expected {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    let page = layout::page(app, View::Traces, "Trace", &main);
    (status, Html(page)).into_response()
}

fn is_young(trace: &Trace) -> bool {
    let age = SystemTime::now().duration_since(trace.summary.start);
    age.is_ok_and(|age| age < YOUNG)
}

fn head<M>(app: &App<M>, trace: &Trace) -> Markup {
    let summary = &trace.summary;
    let id = summary.id.to_string();
    let route = if summary.route.is_empty() {
        "(no name)"
    } else {
        &summary.route
    };
    let is_partial = trace.spans.iter().any(|span| span.is_detached);
    let jaeger = app.options.jaeger_ui.as_deref();
    html! {
        h1 { (route) }
        p class="lead" {
            (traces::status(&summary.status, summary.is_error))
            " " strong { (figure::duration(summary.took)) }
            @if summary.took < summary.duration { ", to its last span " (figure::duration(summary.duration)) }
            " · " (figure::count(summary.spans as u64)) " spans · "
            (summary.processes.join(", "))
        }
        p class="faint" {
            "Started " (figure::clock(summary.start)) " UTC · " code { (id) }
            @if let Some(jaeger) = jaeger {
                " · " a href={ (jaeger.trim_end_matches('/')) "/trace/" (id) } rel="noreferrer" { "Open in Jaeger" }
            }
        }
        @if is_partial && is_young(trace) {
            p class="note" { "Not all of it has arrived yet; what is missing is added by itself." }
        } @else if is_partial {
            p class="note" { "Some spans name a parent that was not received." }
        }
    }
}

fn log(lines: &[LogLine]) -> Markup {
    let all: Vec<&LogLine> = lines.iter().collect();
    html! {
        details class="panel" id="log" {
            summary { "Log lines (" (figure::count(all.len() as u64)) ")" }
            @if all.is_empty() {
                p class="faint" { "No process logged anything with this trace id." }
            } @else {
                div class="scroll" role="region" aria-label="Log lines" tabindex="0" { (logs::table(&all)) }
            }
        }
    }
}
