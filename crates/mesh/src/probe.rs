//! Asks a process whether it is ready.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::time::timeout;

/// Loopback; a process that needs longer is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

const LARGEST_BODY: usize = 16 * 1024;

/// A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing that could be understood.
    Silent,
    /// Not ready: on what it waits.
    Waiting(Vec<String>),
    Ready,
}

#[derive(Deserialize)]
struct NotReady {
    waiting_for: Vec<String>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) async fn readiness(&self, admin: SocketAddr) -> Readiness {
        match self.get(&format!("http://{admin}/readyz")).await {
            Some((StatusCode::OK, _)) => Readiness::Ready,
            Some((StatusCode::SERVICE_UNAVAILABLE, body)) => serde_json::from_slice(&body)
                .map_or(Readiness::Silent, |NotReady { waiting_for }| {
                    Readiness::Waiting(waiting_for)
                }),
            _ => Readiness::Silent,
        }
    }

    /// Status and body; none if there was no whole answer in time: it will be asked again.
    async fn get(&self, url: &str) -> Option<(StatusCode, Bytes)> {
        let url: Uri = url.parse().ok()?;
        let answer = async {
            let response = self.client.get(url).await.ok()?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_BODY);
            Some((status, body.collect().await.ok()?.to_bytes()))
        };
        timeout(ANSWER_LIMIT, answer).await.ok().flatten()
    }
}
