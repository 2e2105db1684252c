//! The map, the tables that say the same, and the buttons of the first order.

use std::{net::SocketAddr, sync::Arc};

use axum::{extract::State, response::Html};
use maud::{Markup, html};
use mesh_figures::Figures;

use crate::{
    app::App,
    drawing, figure,
    layout::{self, View},
    mesh::{Mesh, Replica},
    picture::{Picture, Told, work},
    try_it,
};

/// `GET /`
pub(crate) async fn show<M: Mesh>(State(app): State<Arc<App<M>>>) -> Html<String> {
    let picture = Picture::of(&app.mesh);
    let main = html! {
        h1 { "Map" }
        div id="map" { (map(&picture)) }
        section {
            h2 id="try-title" { "Place an order" }
            (try_it::buttons(&app))
        }
        div id="tables" { (tables(&picture)) }
    };
    Html(layout::page(&app, View::Map, "Map", &main))
}

/// What moves: how the mesh is, and the picture of it.
pub(crate) fn map(picture: &Picture) -> Markup {
    html! {
        // Read out when it changes, which is when a state does.
        p class="lead" role="status" { (picture.sentence()) }
        (drawing::draw(picture))
    }
}

/// The same in words and numbers.
pub(crate) fn tables(picture: &Picture) -> Markup {
    html! {
        section {
            h2 id="processes-title" { "Processes" }
            (processes(picture))
        }
        div class="beside" {
            section {
                h2 id="calls-title" { "Calls" }
                (calls(picture))
            }
            section {
                h2 id="queue-title" { "Queue" }
                (queue(picture))
            }
        }
    }
}

fn processes(picture: &Picture) -> Markup {
    html! {
        div class="scroll" role="region" aria-labelledby="processes-title" tabindex="0" {
            table class="list" {
                thead {
                    tr {
                        th scope="col" { "Replica" }
                        th scope="col" { "State" }
                        th scope="col" class="number" { "Rate" }
                        th scope="col" class="number" { "p95" }
                        th scope="col" class="number" { "Errors" }
                        th scope="col" class="number" { "In flight" }
                        th scope="col" class="number" { "Memory" }
                        th scope="col" { "Serves" }
                        th scope="col" { "Admin" }
                        th scope="col" class="number" { "PID" }
                    }
                }
                tbody {
                    @for process in &picture.processes {
                        @for (one, figures) in &process.replicas {
                            (row(one, figures.as_ref()))
                        }
                    }
                }
            }
        }
    }
}

fn row(replica: &Replica, figures: Option<&Figures>) -> Markup {
    let unknown = || figure::UNKNOWN.to_owned();
    let told = figures.map(|all| Told::new(work(all), all.p95, all.errors));
    let cell = |text: fn(&Told) -> &String| {
        told.as_ref()
            .map_or_else(unknown, |told| text(told).clone())
    };
    let is_failing = told.as_ref().is_some_and(|told| told.has_errors);
    html! {
        tr data-row=(replica.name) {
            th scope="row" { (replica.name) }
            td { (state(replica)) }
            td class="number" { (cell(|told| &told.rate)) }
            td class="number" { (cell(|told| &told.p95)) }
            td class=(if is_failing { "number bad" } else { "number" }) { (cell(|told| &told.errors)) }
            td class="number" { (figures.map_or_else(unknown, |all| figure::count(all.in_flight))) }
            td class="number" { (figures.map_or_else(unknown, |all| figure::bytes(all.rss))) }
            td { (address(replica.address)) }
            td { @match replica.admin {
                Some(admin) => a href={ "http://" (admin) "/" } { (admin) },
                None => (figure::UNKNOWN),
            } }
            td class="number" { (replica.pid.map_or_else(unknown, |pid| pid.to_string())) }
        }
    }
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| figure::UNKNOWN.to_owned(), |address| address.to_string())
}

/// A word with a mark before it; the word says it all.
pub(crate) fn state(replica: &Replica) -> Markup {
    let text = figure::cut(&replica.state.to_string(), 60);
    html! { span class="badge" data-state=(replica.state.word()) { (text) } }
}

fn calls(picture: &Picture) -> Markup {
    let figures = || {
        picture
            .processes
            .iter()
            .flat_map(|process| &process.figures)
    };
    if figures().all(|figures| figures.calls.is_empty()) {
        return html! { p class="faint" { "None yet." } };
    }
    html! {
        div class="scroll" role="region" aria-labelledby="calls-title" tabindex="0" {
            table class="list" {
                thead {
                    tr {
                        th scope="col" { "From" }
                        th scope="col" { "To" }
                        th scope="col" class="number" { "Rate" }
                        th scope="col" class="number" { "p95" }
                        th scope="col" class="number" { "Errors" }
                    }
                }
                tbody {
                    @for process in &picture.processes {
                        @for call in process.figures.iter().flat_map(|figures| &figures.calls) {
                            @let told = Told::new(call.rate, call.p95, call.errors);
                            tr {
                                th scope="row" { (process.name) }
                                td { (call.peer) }
                                td class="number" { (told.rate) }
                                td class="number" { (told.p95) }
                                td class=(if told.has_errors { "number bad" } else { "number" }) { (told.errors) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn queue(picture: &Picture) -> Markup {
    let workers = picture.process("fulfillment");
    let count = workers.map_or(0, |workers| workers.replicas.len());
    let rate = |rate: Option<f64>| rate.map_or_else(|| figure::UNKNOWN.to_owned(), figure::rate);
    html! {
        dl class="facts" {
            @match picture.queue {
                Some(queue) => {
                    div { dt { "Waiting" } dd { (figure::count(queue.ready)) } }
                    div { dt { "Dead letters" } dd class=[(queue.dead > 0).then_some("bad")] { (figure::count(queue.dead)) } }
                }
                None => div { dt { "Depth" } dd { "not known: the queue does not answer" } }
            }
            div { dt { "Workers" } dd { (count) } }
            div { dt { "In" } dd { (rate(picture.published())) } }
            div { dt { "Out" } dd { (rate(picture.consumed())) } }
        }
    }
}
