//! As many requests as are answered: customers who ask again as soon as they have an answer.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mesh_load::Client;
use tokio::{task::JoinSet, time::Instant};

/// More than the machine has CPUs by so much that none is ever idle.
const CUSTOMERS: usize = 16;
const LIMIT: Duration = Duration::from_secs(20);

/// Customers of one gateway.
#[derive(Debug)]
pub(crate) struct Customers {
    client: Client,
    /// What they look at, in turn.
    urls: Vec<String>,
}

impl Customers {
    pub(crate) fn new(gateway: SocketAddr, paths: &[String]) -> Self {
        let urls = paths.iter().map(|path| format!("http://{gateway}{path}"));
        Self {
            client: Client::new(LIMIT),
            urls: urls.collect(),
        }
    }

    /// Answers a second.
    pub(crate) async fn ask_for(&self, length: Duration) -> anyhow::Result<f64> {
        let (begun, mut customers) = (Instant::now(), JoinSet::new());
        for number in 0..CUSTOMERS {
            let (client, urls) = (self.client.clone(), self.urls.clone());
            customers.spawn(async move {
                let mut answers = 0_u32;
                for url in urls.iter().cycle().skip(number) {
                    if begun.elapsed() >= length {
                        break;
                    }
                    let request = Request::get(url).body(Full::<Bytes>::default())?;
                    let answer = client
                        .ask(request)
                        .await
                        .map_err(|failure| anyhow::anyhow!("{url}: {failure}"))?;
                    ensure!(answer.status.is_success(), "{url}: {}", answer.status);
                    answers += 1;
                }
                Ok(answers)
            });
        }
        let mut answers = 0;
        for told in customers.join_all().await {
            answers += told?;
        }
        Ok(f64::from(answers) / begun.elapsed().as_secs_f64())
    }
}
