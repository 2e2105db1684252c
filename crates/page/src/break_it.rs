//! Break: kill, pause or restart a replica, change the number of workers; what follows is seen on the map above.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Query, State},
    response::{Html, Redirect},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    app::{App, Deed},
    figure,
    form::{self, Fields},
    layout::{self, View},
    map,
    mesh::{Mesh, Replica},
    picture::Picture,
    refusal::Refusal,
};

/// Of which there may be more than one here: nobody has to find it.
const WORKERS: &str = "fulfillment";
const MOST: u32 = 10;

/// Stopping in order takes its time; what takes longer goes on without us.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was done last, when one comes back from doing it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    done: String,
}

/// `GET /break`
pub(crate) async fn show<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    Query(asked): Query<Asked>,
) -> Html<String> {
    let picture = Picture::of(&app.mesh);
    let number = asked.done.parse().ok();
    let deed = number.and_then(|number| app.deeds.get(number));
    let main = html! {
        h1 { "Break" }
        @if let Some(deed) = deed { p class="done" role="status" { (told(&deed)) } }
        div id="map" { (map::map(&picture)) }
        div id="break" { (controls(&app, &picture)) }
    };
    Html(layout::page(&app, View::Break, "Break", &main))
}

/// Everything there is to press, and what was done so far.
pub(crate) fn controls<M: Mesh>(app: &App<M>, picture: &Picture) -> Markup {
    let replicas = || {
        picture
            .processes
            .iter()
            .flat_map(|process| &process.replicas)
    };
    html! {
        section {
            h2 id="break-title" { "Replicas" }
            div class="scroll" role="region" aria-labelledby="break-title" tabindex="0" {
                table class="list controls" {
                    thead {
                        tr {
                            th scope="col" { "Replica" }
                            th scope="col" { "State" }
                            th scope="col" { "Break it" }
                        }
                    }
                    tbody { @for (replica, _) in replicas() { (row(app, replica)) } }
                }
            }
        }
        (workers(app, picture))
        (deeds(app))
    }
}

fn row<M>(app: &App<M>, replica: &Replica) -> Markup {
    let name = &replica.name;
    html! {
        tr id={ "break-" (name) } {
            th scope="row" { (name) }
            td { (map::state(replica)) }
            td {
                div class="buttons" {
                    form method="post" action="/break/kill" {
                        (form::token(app))
                        input type="hidden" name="replica" value=(name);
                        button class="danger" data-kill=(name) { "Kill" span class="hidden" { " " (name) } }
                    }
                    form method="post" action="/break/pause" {
                        (form::token(app))
                        input type="hidden" name="replica" value=(name);
                        button data-pause=(name) { "Pause 10 s" span class="hidden" { " " (name) } }
                    }
                    form method="post" action="/break/restart" {
                        (form::token(app))
                        input type="hidden" name="replica" value=(name);
                        button data-restart=(name) { "Restart" span class="hidden" { " " (name) } }
                    }
                }
            }
        }
    }
}

fn workers<M>(app: &App<M>, picture: &Picture) -> Markup {
    let now = picture
        .process(WORKERS)
        .map_or(0, |workers| workers.replicas.len());
    html! {
        section {
            h2 id="workers-title" { "Fulfillment workers" }
            form method="post" action="/break/scale" class="numbers" {
                (form::token(app))
                input type="hidden" name="process" value=(WORKERS);
                @for number in 1..=MOST {
                    @let is_now = (now == number as usize).then_some("true");
                    button name="replicas" value=(number) data-workers=(number) aria-current=[is_now] {
                        (number) span class="hidden" { @if number == 1 { " worker" } @else { " workers" } }
                    }
                }
            }
        }
    }
}

fn deeds<M>(app: &App<M>) -> Markup {
    let deeds = app.deeds.newest();
    html! {
        section {
            h2 id="deeds-title" { "What was done" }
            @if deeds.is_empty() {
                p class="faint" { "Nothing yet." }
            } @else {
                ol class="deeds" {
                    @for (number, deed) in deeds.iter().take(20) {
                        li id={ "deed-" (number) } {
                            span class="faint" { (figure::clock(deed.at)) " UTC" } " " (told(deed))
                        }
                    }
                }
            }
        }
    }
}

fn told(deed: &Deed) -> Markup {
    html! {
        @match &deed.outcome {
            Ok(done) => (done),
            Err(why) => span class="bad" { "✕ not done: " (why) }
        }
    }
}

/// `POST /break/kill`
pub(crate) async fn kill<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    fields: Fields,
) -> Result<Redirect, Refusal> {
    let replica = replica(&app, &fields)?;
    Ok(done(&app, app.mesh.kill(&replica)).await)
}

/// `POST /break/pause`
pub(crate) async fn pause<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    fields: Fields,
) -> Result<Redirect, Refusal> {
    let replica = replica(&app, &fields)?;
    Ok(done(&app, app.mesh.pause(&replica)).await)
}

/// `POST /break/restart`
pub(crate) async fn restart<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    fields: Fields,
) -> Result<Redirect, Refusal> {
    let replica = replica(&app, &fields)?;
    Ok(done(&app, app.mesh.restart(&replica)).await)
}

/// `POST /break/scale`
pub(crate) async fn scale<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    fields: Fields,
) -> Result<Redirect, Refusal> {
    let (process, replicas) = (fields.need("process")?, fields.need("replicas")?);
    if process != WORKERS {
        let process = figure::cut(process, 60);
        let detail = format!("{process:?} is not scaled here: only {WORKERS} is");
        return Err(Refusal::bad_request(detail));
    }
    let wanted = replicas
        .parse()
        .ok()
        .filter(|count| (1..=MOST).contains(count));
    let wanted = wanted.ok_or_else(|| {
        let replicas = figure::cut(replicas, 60);
        let detail = format!("{replicas:?} is no number of workers: 1 to {MOST}");
        Refusal::bad_request(detail)
    })?;
    Ok(done(&app, app.mesh.scale(WORKERS, wanted)).await)
}

/// The replica that is named, if there is one.
fn replica<M: Mesh>(app: &App<M>, fields: &Fields) -> Result<String, Refusal> {
    let name = fields.need("replica")?;
    let replicas = app.mesh.replicas();
    if replicas.iter().any(|replica| replica.name == name) {
        return Ok(name.to_owned());
    }
    let name = figure::cut(name, 60);
    Err(Refusal::bad_request(format!(
        "there is no replica {name:?}"
    )))
}

/// Notes what came of it, and leads back to where it is told.
async fn done<M>(app: &App<M>, deed: impl Future<Output = Result<String, String>>) -> Redirect {
    let late = || Err(format!("it takes longer than {} s", PATIENCE.as_secs()));
    let outcome = tokio::time::timeout(PATIENCE, deed).await;
    let number = app.deeds.add(Deed {
        at: SystemTime::now(),
        outcome: outcome.unwrap_or_else(|_| late()),
    });
    Redirect::to(&format!("/break?done={number}"))
}
