//! The lease in etcd: a key that goes with its lease unless the holder keeps that alive.
//!
//! The token is the revision at which the key was made: etcd never gives one out twice. A holder that hears nothing stops
//! before etcd would give the key to another, by its own clock from the moment it asked.

mod api;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tonic::{async_trait, codegen::http::uri::Authority};

use self::api::Api;
use super::{Election, Error, Term};

const KEY: &str = "/mesh/orders/reconciler";
/// A holder that died is replaced after this, and what etcd takes to notice.
const TTL: Duration = Duration::from_secs(5);
/// The holder stops by so much earlier.
const MARGIN: Duration = Duration::from_secs(1);
/// After a question that was not answered.
const RETRY: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct Etcd(Arc<Api>);

impl Etcd {
    pub(super) fn new(members: &[Authority]) -> Self {
        Self(Arc::new(Api::new(members)))
    }
}

#[async_trait]
impl Election for Etcd {
    async fn campaign(&self) -> Result<Option<Box<dyn Term>>, Error> {
        if self.0.lease_of(KEY).await?.is_some() {
            return Ok(None);
        }
        let asked = Instant::now();
        let lease = self.0.grant(TTL).await?;
        let term = Held {
            api: Arc::clone(&self.0),
            lease: lease.id,
            ttl: lease.ttl,
            until: asked + lease.ttl.saturating_sub(MARGIN),
            token: 0,
        };
        match self.0.create(KEY, lease.id).await {
            Ok(Some(revision)) => Ok(Some(Box::new(Held {
                token: revision,
                ..term
            }))),
            Ok(None) => {
                term.revoke().await;
                Ok(None)
            }
            // It may have been made.
            Err(error) => {
                term.revoke().await;
                Err(error)
            }
        }
    }
}

#[derive(Debug)]
struct Held {
    api: Arc<Api>,
    lease: i64,
    ttl: Duration,
    /// Until then it is surely ours.
    until: Instant,
    token: i64,
}

impl Held {
    async fn revoke(&self) {
        if let Err(error) = self.api.revoke(self.lease).await {
            tracing::warn!(%error, "the lease was not given up, it ends after {:?}", self.ttl);
        }
    }

    /// Asks for more time; how long to leave etcd alone now, or nothing when the lease is over.
    async fn renew(&mut self) -> Option<Duration> {
        let asked = Instant::now();
        match self.api.keep_alive(self.lease).await {
            Ok(Some(ttl)) => {
                self.until = asked + ttl.saturating_sub(MARGIN);
                Some(ttl / 3)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "the lease was not prolonged, trying again");
                Some(RETRY)
            }
        }
    }
}

#[async_trait]
impl Term for Held {
    fn token(&self) -> i64 {
        self.token
    }

    async fn keep(&mut self) {
        let mut pause = self.ttl / 3;
        loop {
            let until = self.until;
            let renewed = async {
                sleep(pause).await;
                self.renew().await
            };
            tokio::select! {
                biased;
                () = sleep_until(until) => return,
                renewed = renewed => match renewed {
                    Some(next) => pause = next,
                    None => return,
                },
            }
        }
    }

    async fn resign(self: Box<Self>) {
        self.revoke().await;
    }
}

#[cfg(test)]
mod tests;
