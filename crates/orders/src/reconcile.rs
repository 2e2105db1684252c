//! The reconciler: brings to an end what no request does any more. One replica at a time, chosen by a lease.
//!
//! ```text
//!  an order                          is asked about, or done            then
//!  pending, its attempt over         GetCharge: charged                 confirmed, with answer and message
//!                                    GetCharge: declined, voided        failed, then Release
//!                                    GetCharge: none, for long enough   no charge any more, Refund, failed, Release
//!  pending, nothing charged, 10 min  the same; before it was priced     forgotten, after Release
//!  cancel requested                  Release: released                  cancelled, then Refund
//!                                    Release: committed                 the wish is dropped
//!  refund due, release due           Refund, Release                    no longer due
//! ```
//!
//! That an order is given up is recorded before its charge is voided: from then on no attempt charges for it, so that the
//! `Refund` can only meet a charge that was sent before. What fails is tried again for ever, with growing pauses.

mod work;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use mesh_chassis::{OnExit, Runtime};
use mesh_context::Deadline;
use tokio::time::sleep;

#[cfg(test)]
pub(crate) use work::TIME;

use crate::{
    error::Error,
    lease::{Election, Term},
    metrics::WorkMetrics,
    service::Service,
    store::{Ages, Due, Fenced, Work},
};

/// Between two looks for work.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks whether another's term is over; with the TTL of the lease it is how soon a dead holder is replaced.
const CANDIDATE_PAUSE: Duration = Duration::from_millis(250);
/// After a term, or when nobody can say whose it is.
const PAUSE: Duration = Duration::from_secs(1);
/// Orders worked on at the same time.
const PARALLEL: usize = 4;
/// For one transaction.
const STORE_LIMIT: Duration = Duration::from_secs(3);
/// What has been begun when the process is told to stop has so long to end; another replica does it again otherwise.
const STOPPING: Duration = Duration::from_secs(2);

/// Whoever works on an order now has this long.
const AGES: Ages = Ages {
    // The customer has just been told that the outcome is not known.
    settled: Duration::from_secs(1),
    compensated: crate::compensate::TIME,
    reserved: Duration::from_secs(600),
};
/// Pauses after failures: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The reconciler of one replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reconciler {
    service: Service,
    runtime: Runtime,
}

impl Reconciler {
    /// Does nothing yet.
    #[must_use]
    pub fn new(service: &Service, runtime: &Runtime) -> Self {
        Self {
            service: service.clone(),
            runtime: runtime.clone(),
        }
    }

    /// Works whenever it holds the lease, until the process stops.
    pub(crate) fn start(self, election: Arc<dyn Election>, metrics: WorkMetrics) {
        let tasks = self.runtime.tasks().clone();
        let measured = self.clone().measure(metrics);
        tasks.spawn("reconcile-metrics", OnExit::Ignore, measured);
        // A panic ends it in this replica only, which goes on serving.
        tasks.spawn("reconciler", OnExit::Ignore, self.run(election));
    }

    /// In every replica: what nobody gets done must be seen also when nobody holds the lease.
    async fn measure(self, metrics: WorkMetrics) {
        let service = &self.service;
        loop {
            // Else the last figures stand: that the store is away is seen elsewhere.
            if let Ok(left) = service.store.left(Deadline::after(STORE_LIMIT)).await {
                let now = service.clock.now();
                for (shown, left) in metrics.0.iter().zip(left) {
                    shown.pending.set(left.pending);
                    shown.lag.set(left.lag(now).as_secs_f64());
                }
            }
            sleep(INTERVAL).await;
        }
    }

    async fn run(self, election: Arc<dyn Election>) {
        self.service.store.prepared().await;
        let draining = self.runtime.shutdown().draining();
        tokio::pin!(draining);
        let mut trouble = None;
        while !self.runtime.shutdown().is_draining() {
            // From asking for the lease to giving it up: a process that stops waits for it.
            let (own, election) = (self.clone(), Arc::clone(&election));
            let term = async move {
                match election.campaign().await? {
                    Some(term) => {
                        own.term(term).await;
                        Ok(PAUSE)
                    }
                    None => Ok(CANDIDATE_PAUSE),
                }
            };
            let ended = self.runtime.tasks().finish("reconciler", term).await;
            let pause = ended.unwrap_or_else(|error: crate::lease::Error| {
                // Said once, not every second.
                let what = error.to_string();
                if trouble.as_ref() != Some(&what) {
                    tracing::warn!(error = what, "nobody can say who reconciles, trying again");
                }
                trouble = Some(what);
                PAUSE
            });
            tokio::select! {
                () = sleep(pause) => {}
                () = &mut draining => {}
            }
        }
    }

    async fn term(&self, mut term: Box<dyn Term>) {
        let token = term.token();
        tracing::info!(token, "reconciling");
        let shutdown = self.runtime.shutdown();
        let stopped = async move {
            shutdown.draining().await;
            sleep(STOPPING).await;
        };
        let over = tokio::select! {
            // Lost, it ends wherever it is.
            biased;
            () = term.keep() => "the lease is lost",
            () = stopped => "the process stops",
            over = self.rounds(token) => over,
        };
        term.resign().await;
        tracing::info!(token, over, "no longer reconciling");
    }

    async fn rounds(&self, token: i64) -> &'static str {
        let draining = self.runtime.shutdown().draining();
        tokio::pin!(draining);
        loop {
            if !self.round(token).await {
                return "another has a newer lease";
            }
            tokio::select! {
                biased;
                () = &mut draining => return "the process stops",
                () = sleep(INTERVAL) => {}
            }
        }
    }

    /// Does what there is to do now, under a token of the lease; `false` when the store has seen a newer one.
    pub async fn round(&self, token: i64) -> bool {
        let store = Fenced::new(self.service.store.clone(), token);
        match store.raise(Deadline::after(STORE_LIMIT)).await {
            Ok(()) => {}
            Err(error @ Error::Replaced { .. }) => {
                tracing::warn!(%error, "a write was refused");
                return false;
            }
            Err(error) => {
                tracing::warn!(%error, "nothing can be reconciled now");
                return true;
            }
        }
        for work in Work::ALL {
            if !self.all(work, &store).await {
                return false;
            }
        }
        true
    }

    /// Does all the work of one kind; `false` when the store has seen a newer token.
    async fn all(&self, work: Work, store: &Fenced) -> bool {
        let now = self.service.clock.now();
        let limit = Deadline::after(STORE_LIMIT);
        let due = match self.service.store.due(work, AGES, now, limit).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, ?work, "cannot look for work now");
                return true;
            }
        };
        let each = stream::iter(due).map(|due| self.one(work, due, store));
        let ours = each.buffer_unordered(PARALLEL);
        ours.all(std::future::ready).await
    }

    async fn one(&self, work: Work, due: Due, store: &Fenced) -> bool {
        // What is not begun yet is another replica's.
        if self.runtime.shutdown().is_draining() {
            return true;
        }
        let done = self.work(work, &due, store).await;
        let pause = pause(due.tries);
        let (order, tries) = (due.order, due.tries + 1);
        match done {
            Ok(true) | Err(Error::InProgress) => return true,
            Ok(false) => {
                tracing::debug!(%order, ?work, tries, "not yet, looking again in {pause:?}");
            }
            Err(error @ Error::Replaced { .. }) => {
                tracing::warn!(%order, ?work, %error, "a write was refused");
                return false;
            }
            Err(error) => {
                tracing::warn!(%order, ?work, tries, %error, "trying again in {pause:?}");
            }
        }
        let until = self.service.clock.now().plus(pause);
        let limit = Deadline::after(STORE_LIMIT);
        match store.postpone(order, until, limit).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%order, %error, "the pause is not recorded");
                !matches!(error, Error::Replaced { .. })
            }
        }
    }
}

fn pause(tries: u32) -> Duration {
    let (first, last) = PAUSES;
    let factor = 2u32.checked_pow(tries).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compensate, hold};

    #[test]
    fn pauses_grow_and_stop_growing() {
        let seconds = [0, 1, 2, 5, 6, 7, 40, u32::MAX].map(|tries| pause(tries).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60, 60]);
    }

    /// Else the reconciler might take an order away from an attempt that is alive.
    #[test]
    fn what_a_request_may_still_be_doing_is_left_to_it() {
        assert!(AGES.compensated >= compensate::TIME);
        assert!(AGES.reserved > hold::TIME);
    }
}
