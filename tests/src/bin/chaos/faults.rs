//! How each fault is done. All heal by themselves: what dies is started again, what is cut is joined.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use mesh_messaging::{Headers, Message};
use mesh_tests::Http;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    plan::Fault,
    stage::{End, Stage},
};

/// Longer than the lease, 5 s.
const PAUSED: Duration = Duration::from_secs(10);
const CUT: Duration = Duration::from_secs(3);
/// For what waits until a server is back.
const LIMIT: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(300);
/// Of the reconciler: `/mesh/orders/reconciler`, in base64.
const LEASE_KEY: &str = "L21lc2gvb3JkZXJzL3JlY29uY2lsZXI=";

impl Stage {
    /// Does it, and returns when it is over. The body of the poison, if it was that.
    pub(crate) async fn strike(
        &self,
        number: usize,
        fault: Fault,
    ) -> anyhow::Result<Option<String>> {
        match fault {
            Fault::Kill(name) => self.services[name].kill().await?,
            Fault::Pause(name) => self.services[name].pause(PAUSED).await?,
            Fault::Crash(name, point, passes) => self.services[name].arm(point, passes).await?,
            Fault::KillServer(name) => self.restart(name, End::Killed).await?,
            Fault::RestartServer(name) => self.restart(name, End::Stopped).await?,
            Fault::Cut(from, to) => {
                for link in self.links_between(from, to) {
                    link.cut(CUT).await;
                }
            }
            Fault::LoseAnswers(from, to) => {
                for link in self.links_between(from, to) {
                    link.mute(CUT).await;
                }
            }
            Fault::RevokeLease => again(|| self.revoke_lease()).await?,
            Fault::Duplicate => again(|| self.duplicate(number)).await?,
            Fault::Poison => {
                // Each its own, so that one that is lost is missed.
                let body = format!("poison {number}");
                let publish = || async { Ok(self.queue.publish_body(body.as_bytes()).await?) };
                again(publish).await?;
                return Ok(Some(body));
            }
        }
        Ok(None)
    }

    fn links_between(&self, from: &str, to: &str) -> impl Iterator<Item = &crate::link::Link> {
        let between = move |link: &&crate::link::Link| link.from == from && link.to == to;
        self.links.iter().filter(between)
    }

    /// Whoever reconciles does so no longer.
    async fn revoke_lease(&self) -> anyhow::Result<()> {
        let url = self.url("etcd");
        let address = url.strip_prefix("etcd://").context("an etcd")?.parse()?;
        let etcd = Http::new(address);
        let ask = async |path: &str, body: Value| {
            let answer = etcd.post(path).json(&body).try_send().await?;
            ensure!(answer.status == 200, "etcd: {path}: {}", answer.text());
            Ok(answer.json())
        };
        let found = ask("/v3/kv/range", json!({ "key": LEASE_KEY })).await?;
        let lease = found["kvs"][0]["lease"].as_str();
        let lease = lease.context("nobody reconciles at this moment")?;
        ask("/v3/lease/revoke", json!({ "ID": lease })).await?;
        Ok(())
    }

    /// One of the messages that the queue has had, chosen by the fault's number.
    async fn duplicate(&self, number: usize) -> anyhow::Result<()> {
        let mut store = PgConnection::connect(self.url("postgres")).await?;
        let sql = "SELECT payload FROM orders.outbox WHERE published_at IS NOT NULL \
                   ORDER BY created_at DESC LIMIT 1 OFFSET $1";
        let offset = i64::try_from(number % 10)?;
        let payload: Option<String> = sqlx::query_scalar(sql)
            .bind(offset)
            .fetch_optional(&mut store)
            .await?;
        let payload = payload.context("no message was published yet")?;
        let message = Message::parse(payload.as_bytes())?;
        let headers = Headers::default();
        Ok(self.queue.queue.publish(&message, &headers).await?)
    }
}

/// What cannot be done while a server is away is done when it is back.
pub(crate) async fn again<T, F: Future<Output = anyhow::Result<T>>>(
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let until = Instant::now() + LIMIT;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    }
}
