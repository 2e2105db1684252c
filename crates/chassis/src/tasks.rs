//! The only place that spawns: every task has a name and a rule for its end.
//!
//! Two kinds. A *task* ([`Tasks::spawn`]) is a loop in the background; the process does not wait for it when it stops, so
//! it must be fit to be dropped at any await. A *section* ([`Tasks::finish`]) is work that must not be left half done,
//! such as a charge and the record of its outcome: it goes on when who awaits it is dropped, and shutdown waits for it.

use std::{
    any::Any,
    collections::BTreeMap,
    future::{Future, pending},
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::Shutdown;

/// What happens when a task ends or panics before the process drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// Nothing: the task had an end, or the process works without it.
    Ignore,
    /// The process cannot work without it: it shuts down in order, with exit code 1.
    ShutDown,
}

/// Spawns on the main runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    shutdown: Shutdown,
    failed: watch::Sender<Option<&'static str>>,
    sections: watch::Sender<BTreeMap<&'static str, usize>>,
}

impl Tasks {
    pub(crate) fn new(runtime: Handle, shutdown: Shutdown) -> Self {
        let failed = watch::Sender::new(None);
        let sections = watch::Sender::new(BTreeMap::new());
        Self(Arc::new(Inner {
            runtime,
            shutdown,
            failed,
            sections,
        }))
    }

    /// Runs `task` until it ends or the process does.
    pub fn spawn(
        &self,
        name: &'static str,
        on_exit: OnExit,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            if inner.shutdown.is_draining() {
                return;
            }
            match (outcome, on_exit) {
                (Ok(()), OnExit::Ignore) => tracing::debug!(task = name, "task ended"),
                (Err(_), OnExit::Ignore) => tracing::error!(task = name, "task panicked"),
                (outcome, OnExit::ShutDown) => {
                    let how = if outcome.is_ok() { "ended" } else { "panicked" };
                    tracing::error!(
                        task = name,
                        how,
                        "task that the process cannot work without is gone"
                    );
                    inner
                        .failed
                        .send_modify(|failed| *failed = failed.or(Some(name)));
                }
            }
        });
    }

    /// Starts `section` now and finishes it, whether or not what is returned is awaited to its end. Shutdown waits for
    /// it, within the drain timeout. A panic in it goes to who awaits.
    pub fn finish<T: Send + 'static>(
        &self,
        name: &'static str,
        section: impl Future<Output = T> + Send + 'static,
    ) -> Section<T> {
        let running = Running::start(name, Arc::clone(&self.0));
        Section(self.0.runtime.spawn(async move {
            let outcome = AssertUnwindSafe(section).catch_unwind().await;
            drop(running);
            outcome
        }))
    }

    /// Ends with the name of the first task that the process cannot work without and that is gone.
    pub(crate) async fn failed(&self) -> &'static str {
        let mut failed = self.0.failed.subscribe();
        match failed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|name| *name)
        {
            Some(name) => name,
            // Cannot be: the sender is part of self.
            None => pending().await,
        }
    }

    /// Ends when no section runs.
    pub(crate) async fn sections_finished(&self) {
        let _ = self
            .0
            .sections
            .subscribe()
            .wait_for(BTreeMap::is_empty)
            .await;
    }

    /// The names of the sections that run, each as often as it runs.
    pub(crate) fn running_sections(&self) -> Vec<&'static str> {
        self.0
            .sections
            .borrow()
            .iter()
            .flat_map(|(name, count)| std::iter::repeat_n(*name, *count))
            .collect()
    }
}

/// Counts a section for as long as it is not finished or dropped.
#[derive(Debug)]
struct Running {
    name: &'static str,
    tasks: Arc<Inner>,
}

impl Running {
    fn start(name: &'static str, tasks: Arc<Inner>) -> Self {
        tasks
            .sections
            .send_modify(|sections| *sections.entry(name).or_default() += 1);
        Self { name, tasks }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.sections.send_modify(|sections| {
            if let Some(count) = sections.get_mut(self.name) {
                *count -= 1;
                if *count == 0 {
                    sections.remove(self.name);
                }
            }
        });
    }
}

/// The outcome of a section to come. Dropping it does not stop the section.
#[derive(Debug)]
#[must_use = "a section runs without being awaited, but then nobody sees its outcome"]
pub struct Section<T>(JoinHandle<Result<T, Box<dyn Any + Send>>>);

impl<T> Future for Section<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(Ok(outcome)) => Poll::Ready(outcome),
            Ok(Err(panic)) => resume_unwind(panic),
            // The runtime is gone, and who awaits goes with it.
            Err(_) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;
    use crate::shutdown::Trigger;

    const LIMIT: Duration = Duration::from_secs(5);

    fn tasks() -> (Tasks, Trigger) {
        let trigger = Trigger::new();
        (Tasks::new(Handle::current(), trigger.shutdown()), trigger)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_the_process_needs_takes_it_down_when_it_ends_or_panics() {
        let (tasks, _trigger) = tasks();
        tasks.spawn("chatty", OnExit::Ignore, async {});
        tasks.spawn("clumsy", OnExit::Ignore, async { panic!("ignored") });
        assert!(
            timeout(LIMIT, tasks.failed()).await.is_err(),
            "neither is needed"
        );
        tasks.spawn("relay", OnExit::ShutDown, async { panic!("not ignored") });
        assert_eq!(timeout(LIMIT, tasks.failed()).await, Ok("relay"));
        tasks.spawn("consumer", OnExit::ShutDown, async {});
        assert_eq!(
            timeout(LIMIT, tasks.failed()).await,
            Ok("relay"),
            "the first is named"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_because_the_process_drains_is_no_failure() {
        let (tasks, trigger) = tasks();
        let draining = trigger.shutdown().draining();
        tasks.spawn("consumer", OnExit::ShutDown, draining);
        trigger.drain();
        assert!(timeout(LIMIT, tasks.failed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_section_finishes_although_nobody_awaits_it() {
        let (tasks, _trigger) = tasks();
        let (go, gone) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        drop(tasks.finish("charge", async move {
            let _ = gone.await;
            let _ = done.send(());
        }));
        assert_eq!(tasks.running_sections(), ["charge"]);
        assert!(timeout(LIMIT, tasks.sections_finished()).await.is_err());
        go.send(()).unwrap();
        assert_eq!(timeout(LIMIT, finished).await, Ok(Ok(())));
        assert_eq!(timeout(LIMIT, tasks.sections_finished()).await, Ok(()));
        assert!(tasks.running_sections().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_section_answers_and_its_panic_is_the_awaiters() {
        let (tasks, _trigger) = tasks();
        assert_eq!(tasks.finish("charge", async { 7 }).await, 7);
        let panicking = tasks.finish("charge", async { panic!("out of ink") });
        let outcome = AssertUnwindSafe(panicking).catch_unwind().await;
        assert_eq!(
            *outcome.unwrap_err().downcast::<&str>().unwrap(),
            "out of ink"
        );
        assert!(tasks.running_sections().is_empty());
    }
}
