//! Try: place an order with each payment token, see the answer and its trace.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::{Path, State},
    response::{Html, Redirect},
};
use http::StatusCode;
use maud::{Markup, html};

use crate::{
    app::{App, Try},
    figure,
    form::{self, Fields},
    layout::{self, View},
    mesh::{Mesh, Placed},
    refusal::Refusal,
};

/// The tokens that the built-in payment provider knows, and what it does with them.
const TOKENS: [(&str, &str); 4] = [
    ("tok_ok", "is paid at once"),
    ("tok_declined", "is declined: 402"),
    ("tok_slow", "is paid after 2 s"),
    (
        "tok_silent",
        "is paid, and nobody says so: 202, settled later",
    ),
];

/// `GET /try`
pub(crate) async fn show<M: Mesh>(State(app): State<Arc<App<M>>>) -> Html<String> {
    let main = html! {
        h1 { "Try" }
        p class="lead" { "Place an order as a customer would" (at_gateway(&app)) "." }
        (buttons(&app))
        (tried(&app))
    };
    Html(layout::page(&app, View::Try, "Try", &main))
}

fn at_gateway<M: Mesh>(app: &App<M>) -> String {
    let gateway = app.mesh.gateway();
    gateway.map_or_else(String::new, |gateway| format!(", at http://{gateway}"))
}

/// A button a token.
pub(crate) fn buttons<M>(app: &App<M>) -> Markup {
    html! {
        form method="post" action="/try" class="tries" {
            (form::token(app))
            @for (token, effect) in TOKENS {
                button name="token_name" value=(token) {
                    span class="strong" { (token) }
                    span class="faint" { (effect) }
                }
            }
        }
    }
}

fn tried<M>(app: &App<M>) -> Markup {
    let tries = app.tries.newest();
    html! {
        @if !tries.is_empty() {
            section {
                h2 id="tried-title" { "Tried" }
                div class="scroll" role="region" aria-labelledby="tried-title" tabindex="0" {
                    table class="list" {
                        thead {
                            tr {
                                th scope="col" { "At (UTC)" }
                                th scope="col" { "Token" }
                                th scope="col" { "Answer" }
                                th scope="col" class="number" { "Took" }
                                th scope="col" { "Trace" }
                            }
                        }
                        tbody { @for (number, tried) in tries { (row(number, &tried)) } }
                    }
                }
            }
        }
    }
}

fn row(number: u64, tried: &Try) -> Markup {
    let answer = tried.outcome.as_ref();
    html! {
        tr {
            th scope="row" { (figure::clock(tried.at)) }
            td { code { (tried.token) } }
            td { a href={ "/try/" (number) } { @match answer {
                Ok(placed) => (status(placed.status)),
                Err(_) => "no answer",
            } } }
            td class="number" { (figure::maybe(answer.ok().map(|placed| placed.took))) }
            td { @if let Some(trace) = answer.ok().and_then(|placed| placed.trace) {
                a href={ "/traces/" (trace) } { "trace " code { (figure::cut(&trace.to_string(), 9)) } }
            } @else { (figure::UNKNOWN) } }
        }
    }
}

fn status(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok();
    let words = known.and_then(|status| status.canonical_reason());
    format!("{status} {}", words.unwrap_or_default())
}

/// `POST /try`
pub(crate) async fn place<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    fields: Fields,
) -> Result<Redirect, Refusal> {
    let asked = fields.need("token_name")?;
    let known = TOKENS.iter().find(|(token, _)| *token == asked);
    let (token, _) = known.ok_or_else(|| {
        let tokens = TOKENS.map(|(token, _)| token).join(", ");
        let asked = figure::cut(asked, 60);
        Refusal::bad_request(format!("{asked:?} is no payment token: {tokens}"))
    })?;
    let outcome = app.mesh.place(token).await;
    let number = app.tries.add(Try {
        token,
        at: SystemTime::now(),
        outcome,
    });
    Ok(Redirect::to(&format!("/try/{number}")))
}

/// `GET /try/{number}`
pub(crate) async fn answer<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Path(number): Path<String>,
) -> Result<Html<String>, Refusal> {
    let entry = number.parse().ok().and_then(|number| app.tries.get(number));
    let entry = entry.ok_or_else(|| {
        let number = figure::cut(&number, 60);
        Refusal::not_found(format!("there is no try {number:?}: the newest are kept"))
    })?;
    let main = html! {
        h1 { "Order with " (entry.token) }
        @match &entry.outcome {
            Ok(placed) => (answered(placed)),
            Err(error) => p class="lead bad" role="alert" { "The gateway was not reached: " (error) }
        }
        section {
            h2 id="again-title" { "Place another" }
            (buttons(&app))
        }
        (tried(&app))
    };
    Ok(Html(layout::page(&app, View::Try, "Order", &main)))
}

fn answered(placed: &Placed) -> Markup {
    let is_good = placed.status < 400;
    let pretty = serde_json::from_str::<serde_json::Value>(&placed.body)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| placed.body.clone());
    html! {
        p class="lead" {
            span class=(if is_good { "badge" } else { "badge bad" }) data-status=(placed.status) { (status(placed.status)) }
            " after " (figure::duration(placed.took))
        }
        @if let Some(trace) = placed.trace {
            p { a class="button" id="see-trace" href={ "/traces/" (trace) } { "See its trace" } }
        } @else {
            p { "The answer names no trace." }
        }
        section {
            h2 id="answer-title" { "Answer" }
            pre class="scroll" role="region" aria-labelledby="answer-title" tabindex="0" { (figure::cut(&pretty, 64 << 10)) }
        }
    }
}
