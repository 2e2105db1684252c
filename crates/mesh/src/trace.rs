//! `mesh trace`: one trace of the mesh that runs in this folder, drawn in the terminal.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mesh_config::Env;
use mesh_traces::Trace;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    cli::{TraceArgs, Which},
    control::{self, Answer, Request},
    error::Error,
    folder::Folder,
    paper::Paper,
    running::Running,
    terminal, waterfall,
};

/// Spans are on their way for up to 200 ms, and a busy machine takes its time. So long after we were asked, the last
/// trace is that of a request which ended before.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// A trace that hangs together and did not grow for so long is whole.
const QUIET: Duration = Duration::from_millis(600);

/// One that does not hang together may have a parent elsewhere.
const LONG_QUIET: Duration = Duration::from_secs(2);

/// Then what there is will do.
const LIMIT: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The page draws the same traces within 100 ms.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Of a trace with all that it may have, texts written as JSON.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

pub(crate) async fn trace(args: TraceArgs) -> Result<(), Error> {
    let asked = Instant::now();
    let page = Page::new(Running::here()?.page());
    let found = match args.which {
        Which::Last => {
            sleep_until(asked + ON_THEIR_WAY).await;
            page.wait_for("last", asked + LIMIT).await?
        }
        Which::Id(id) => {
            let end = asked + 2 * ON_THEIR_WAY;
            page.wait_for(&id.to_string(), end).await?
        }
    };
    let Some(trace) = found else {
        return Err(none(args.which).await);
    };
    let whole = page.whole(trace, asked + LIMIT).await?;
    terminal::answer(&if args.json {
        json(&whole)
    } else {
        drawn(&whole, page.address)
    });
    Ok(())
}

fn drawn(trace: &Trace, page: SocketAddr) -> String {
    let paper = Paper::stdout(&Env);
    let picture = waterfall::draw(trace, paper);
    let link = format!("in a browser: http://{page}/traces/{}", trace.summary.id);
    // A part of it would lead nowhere.
    if link.len() > paper.width {
        return picture.trim_end().to_owned();
    }
    format!("{picture}{link}")
}

/// Strangers' texts are written out where they would steer the terminal; it stays the same JSON.
fn json(trace: &Trace) -> String {
    use std::fmt::Write as _;

    let text = serde_json::to_string_pretty(trace).expect("a trace is made of strings and numbers");
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !crate::record::steers(c) {
            safe.push(c);
        } else {
            let _infallible = write!(safe, "\\u{:04x}", u32::from(c));
        }
    }
    safe
}

/// Where the running mesh shows its traces.
#[derive(Debug)]
struct Page {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: SocketAddr,
}

impl Page {
    fn new(address: SocketAddr) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            address,
        }
    }

    /// The trace of that name, as soon as there is one.
    async fn wait_for(&self, name: &str, end: Instant) -> Result<Option<Trace>, Error> {
        loop {
            let found = self.get(name).await?;
            if found.is_some() || Instant::now() >= end {
                return Ok(found);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The trace when all of it has arrived, or what there is of it in the end.
    async fn whole(&self, mut trace: Trace, end: Instant) -> Result<Trace, Error> {
        let mut grown = Instant::now();
        loop {
            let enough = if hangs_together(&trace) {
                QUIET
            } else {
                LONG_QUIET
            };
            if grown.elapsed() >= enough || Instant::now() >= end {
                return Ok(trace);
            }
            sleep(LOOK_EVERY).await;
            // It may have made room for others.
            let Some(now) = self.get(&trace.summary.id.to_string()).await? else {
                return Ok(trace);
            };
            if now.summary.spans != trace.summary.spans {
                grown = Instant::now();
            }
            trace = now;
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Trace>, Error> {
        let (status, body) = self.ask(name).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| self.failed(&format!("its answer is no trace: {error}"))),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.failed(&format!("it answers {status}"))),
        }
    }

    async fn ask(&self, name: &str) -> Result<(StatusCode, Bytes), Error> {
        let url = format!("http://{}/api/traces/{name}", self.address);
        let url: Uri = url.parse().expect("an address and the id of a trace");
        let answer = async {
            let answer = self.client.get(url).await.map_err(|error| cause(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_BODY).collect();
            let body = body.await.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes()))
        };
        match timeout(ANSWER_LIMIT, answer).await {
            Ok(answer) => answer.map_err(|why: String| self.failed(&why)),
            Err(_) => Err(self.failed(&format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        }
    }

    fn failed(&self, why: &str) -> Error {
        Error::Refused(format!(
            "cannot ask the page of the running mesh at http://{}: {why}",
            self.address
        ))
    }
}

/// What went wrong at the bottom of it.
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// One span is above all others.
fn hangs_together(trace: &Trace) -> bool {
    trace.spans.iter().filter(|row| row.depth == 0).count() == 1
}

/// Why there is nothing to be seen, as the running mesh knows it.
async fn none(which: Which) -> Error {
    let socket = Folder::here().control_socket();
    let known = match control::ask(&socket, &Request::Traces).await {
        Ok(Answer::Done(reason)) => Some(reason).filter(|reason| !reason.is_empty()),
        _ => None,
    };
    let (what, usual) = match which {
        Which::Last => (
            "no trace yet".to_owned(),
            "ask the gateway for something first",
        ),
        Which::Id(id) => (
            format!("no trace {id}"),
            "only the newest are kept, and none of a mesh that ran before",
        ),
    };
    let reason = known.unwrap_or_else(|| usual.to_owned());
    Error::Refused(format!("{what}: {reason}"))
}
