//! The open loop: each request leaves when it is due, whatever became of those before.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet, yield_now},
    time::Instant,
};

use crate::{
    alarm::Alarm,
    measures::{Measures, Shared, Watch},
    outcome::Outcome,
    plan::Plan,
    report::Report,
};

/// What the requests are sent to.
pub trait Target: Send + Sync + 'static {
    /// Sends a request of that kind (its place in the mix) and waits for its outcome, with a limit.
    fn send(&self, kind: usize) -> impl Future<Output = Outcome> + Send;
}

/// A load that is about to begin.
#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    measures: Shared,
}

impl Generator {
    /// For one plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let measures = Shared::new(Measures::new(&plan));
        Self { plan, measures }
    }

    /// For looking at it meanwhile.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            measures: self.measures.clone(),
            plan: self.plan.clone(),
        }
    }

    /// Sends everything and waits for every outcome, unless `stop` comes first: then at once what was measured so far.
    pub async fn run<T: Target>(self, target: Arc<T>, stop: impl Future<Output = ()>) -> Report {
        self.run_by(&Alarm::start(), target, stop).await
    }

    async fn run_by<T: Target>(
        self,
        alarm: &Alarm,
        target: Arc<T>,
        stop: impl Future<Output = ()>,
    ) -> Report {
        let start = Instant::now();
        self.measures.lock().start(start);
        let mut requests = JoinSet::new();
        let all = async {
            self.send_all(alarm, &target, start, &mut requests).await;
            while let Some(ended) = requests.join_next().await {
                pass_on_panic(ended);
            }
        };
        let stop = pin!(stop);
        let lasted = tokio::select! {
            biased;
            () = stop => start.elapsed().min(self.plan.length),
            () = all => self.plan.length,
        };
        Report::new(&self.plan, &self.measures.lock(), lasted)
    }

    async fn send_all<T: Target>(
        &self,
        alarm: &Alarm,
        target: &Arc<T>,
        start: Instant,
        requests: &mut JoinSet<()>,
    ) {
        for number in 0..self.plan.requests() {
            let due = self.plan.due(number);
            if Instant::now() < start + due {
                alarm.until(start + due).await;
            } else {
                // Those that were sent must come to leave, and answers to be read, also when we are behind.
                yield_now().await;
            }
            while let Some(ended) = requests.try_join_next() {
                pass_on_panic(ended);
            }
            if requests.len() >= self.plan.most_in_flight {
                self.measures.lock().not_sent();
                continue;
            }
            let kind = self.plan.mix.kind(number);
            requests.spawn(one(
                Arc::clone(target),
                self.measures.clone(),
                kind,
                start,
                due,
            ));
        }
    }
}

async fn one<T: Target>(
    target: Arc<T>,
    measures: Shared,
    kind: usize,
    start: Instant,
    due: Duration,
) {
    measures.lock().sent(due, (start + due).elapsed());
    let outcome = target.send(kind).await;
    let took = (start + due).elapsed();
    measures.lock().ended(kind, due, took, outcome);
}

fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[cfg(test)]
mod tests;
