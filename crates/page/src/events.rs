//! What moves, as server-sent events: one snapshot a second, made once for everybody who listens, and none for nobody.
//!
//! Every event is the whole of what moves, so one that was missed is not missed. A replica that changes its state is
//! told at once: one that dies and comes back within a second is seen to have been away.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    app::App,
    break_it, map,
    mesh::{Mesh, Replica},
    picture::Picture,
    refusal::Refusal,
};

/// Well below what the server has connections for: listening never keeps anybody from asking.
const LISTENERS: usize = 32;
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a state has changed.
const LOOK: Duration = Duration::from_millis(100);
/// Says that we are still there when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The newest event, and who waits for the next.
#[derive(Debug)]
pub(crate) struct Events {
    /// None while nobody listens: it would be old.
    newest: watch::Sender<Option<Bytes>>,
    wanted: Notify,
    places: Arc<Semaphore>,
    start: String,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            newest: watch::Sender::new(None),
            wanted: Notify::new(),
            places: Arc::new(Semaphore::new(LISTENERS)),
            start: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// Differs at each start: a page that is from an earlier one must be loaded again.
    pub(crate) fn start(&self) -> &str {
        &self.start
    }

    fn listen(&self) -> watch::Receiver<Option<Bytes>> {
        let mut newest = self.newest.subscribe();
        newest.mark_changed();
        self.wanted.notify_one();
        newest
    }
}

/// Makes the events for as long as somebody listens.
pub(crate) async fn publish<M: Mesh>(app: &App<M>) -> Infallible {
    let events = &app.events;
    let mut number = 0;
    loop {
        while events.newest.receiver_count() == 0 {
            events.wanted.notified().await;
        }
        let mut told = String::new();
        while events.newest.receiver_count() > 0 {
            let replicas = app.mesh.replicas();
            let now = snapshot(app);
            if now != told {
                number += 1;
                let event = format!("id: {number}\nevent: snapshot\ndata: {now}\n\n");
                events.newest.send_replace(Some(event.into()));
                told = now;
            }
            until_next(app, &replicas).await;
        }
        events.newest.send_replace(None);
    }
}

/// A second, or less when a replica changes, or everybody is gone.
async fn until_next<M: Mesh>(app: &App<M>, replicas: &[Replica]) {
    let end = Instant::now() + EVERY;
    while Instant::now() < end && app.events.newest.receiver_count() > 0 {
        sleep(LOOK).await;
        if app.mesh.replicas() != replicas {
            return;
        }
    }
}

/// In one line: JSON has no other.
fn snapshot<M: Mesh>(app: &App<M>) -> String {
    let picture = Picture::of(&app.mesh);
    let event = json!({
        "start": app.events.start,
        "traces": app.store.stats().received_spans,
        "fragments": {
            "map": map::map(&picture).into_string(),
            "tables": map::tables(&picture).into_string(),
            "break": break_it::controls(app, &picture).into_string(),
        },
    });
    event.to_string()
}

/// `GET /events`
pub(crate) async fn listen<M: Mesh>(State(app): State<Arc<App<M>>>) -> Result<Response, Refusal> {
    let place = Arc::clone(&app.events.places).try_acquire_owned();
    let place = place.map_err(|_| {
        let detail = format!("{LISTENERS} pages listen already: close one");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let body = Body::from_stream(told(app.events.listen(), place));
    Ok(([(CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// The events for one listener. It ends when the page does, or nobody reads it.
fn told(
    newest: watch::Receiver<Option<Bytes>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let retry = Bytes::from_static(b"retry: 1000\n\n");
    let first = stream::iter([Ok(retry)]);
    let rest = stream::unfold((newest, place), |(mut newest, place)| async move {
        let event = next(&mut newest).await?;
        Some((Ok(event), (newest, place)))
    });
    stream::StreamExt::chain(first, rest)
}

async fn next(newest: &mut watch::Receiver<Option<Bytes>>) -> Option<Bytes> {
    loop {
        match timeout(HEARTBEAT, newest.changed()).await {
            Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
            Ok(Err(_)) => return None,
            Ok(Ok(())) => {}
        }
        let event = newest.borrow_and_update().clone();
        if event.is_some() {
            return event;
        }
    }
}
