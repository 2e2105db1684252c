//! Somebody who looks at the page: events all the time, every view each second.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Views are asked for so often.
const EVERY: Duration = Duration::from_secs(1);
/// What takes longer is no answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A browser, in short.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// What the store says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) traces: u64,
    pub(crate) bytes: u64,
    pub(crate) limit: u64,
    pub(crate) dropped_traces: u64,
    pub(crate) received_spans: u64,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The slowest answer of each view, in the order of the visits.
    pub(crate) slowest: Vec<(&'static str, Duration)>,
    pub(crate) answers: u64,
    pub(crate) events: u64,
    /// The most that the store said it holds.
    pub(crate) most: Stats,
}

impl Page {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            address,
        }
    }

    /// Looks until `end`.
    pub(crate) async fn watch(&self, end: impl Future<Output = ()>) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        let mut events = 0;
        let failed = tokio::select! {
            () = end => Ok(()),
            failed = self.look(&mut seen) => failed,
            failed = self.listen(&mut events) => failed,
        };
        failed?;
        seen.events = events;
        Ok(seen)
    }

    /// Every view each second, until one is not there.
    async fn look(&self, seen: &mut Seen) -> anyhow::Result<()> {
        let mut visits = interval(EVERY);
        visits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            visits.tick().await;
            self.visit(seen).await?;
        }
    }

    /// Every view once.
    async fn visit(&self, seen: &mut Seen) -> anyhow::Result<()> {
        let list = self.timed("/api/traces?limit=50", "JSON", seen).await?;
        let list: Value = serde_json::from_slice(&list)?;
        let stats = stats(&list["stats"])?;
        if stats.bytes >= seen.most.bytes {
            seen.most = stats;
        }
        self.timed("/", "map", seen).await?;
        self.timed("/traces", "list", seen).await?;
        if let Some(id) = list["traces"][0]["id"].as_str() {
            self.timed(&format!("/traces/{id}"), "waterfall", seen)
                .await?;
        }
        Ok(())
    }

    async fn timed(
        &self,
        path: &str,
        view: &'static str,
        seen: &mut Seen,
    ) -> anyhow::Result<Bytes> {
        let begun = Instant::now();
        let body = self.get(path).await?;
        let took = begun.elapsed();
        seen.answers += 1;
        match seen.slowest.iter_mut().find(|(known, _)| *known == view) {
            Some((_, slowest)) => *slowest = took.max(*slowest),
            None => seen.slowest.push((view, took)),
        }
        Ok(body)
    }

    /// What the store says of itself now.
    pub(crate) async fn stats(&self) -> anyhow::Result<Stats> {
        let list: Value = serde_json::from_slice(&self.get("/api/traces?limit=1").await?)?;
        stats(&list["stats"])
    }

    async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        let answer = async {
            let response = self.client.request(self.request(path)?).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            ensure!(status.is_success(), "the page answers {path} with {status}");
            Ok(body)
        };
        let answer = timeout(LIMIT, answer).await;
        answer.with_context(|| format!("the page does not answer {path} within {LIMIT:?}"))?
    }

    /// Reads events for as long as there are any.
    async fn listen(&self, events: &mut u64) -> anyhow::Result<()> {
        let response = self.client.request(self.request("/events")?).await?;
        ensure!(
            response.status().is_success(),
            "/events: {}",
            response.status()
        );
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if frame?.into_data().is_ok_and(|data| !data.is_empty()) {
                *events += 1;
            }
        }
        anyhow::bail!("the page has no events any more")
    }

    fn request(&self, path: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        let uri = format!("http://{}{path}", self.address);
        Ok(Request::get(uri).body(Full::default())?)
    }
}

fn stats(stats: &Value) -> anyhow::Result<Stats> {
    let number = |name: &str| {
        let number = stats[name].as_u64();
        number.with_context(|| format!("no {name} in {stats}"))
    };
    Ok(Stats {
        traces: number("traces")?,
        bytes: number("bytes")?,
        limit: number("limit")?,
        dropped_traces: number("dropped_traces")?,
        received_spans: number("received_spans")?,
    })
}
