//! Room in the process: so many requests at once, and a short, controlled wait for more.
//!
//! The wait is CoDel's idea as Facebook uses it ("Fail at Scale", ACM Queue 2015): a burst may wait 100 ms, but once the
//! queue has not been empty for 100 ms it is no burst, and waiting longer than 5 ms only makes every answer late. One
//! limit for the whole process: a limit per connection means nothing behind a sidecar.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_context::Deadline;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{rescue::Refusal, routes::Class};

/// How long a request of a burst waits.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long one waits when the queue no longer empties.
const IMPATIENCE: Duration = Duration::from_millis(5);
/// How long the queue may stay filled and still be a burst.
const BURST: Duration = Duration::from_millis(100);
/// Requests waiting at once. A bound, not a promise: they leave after [`PATIENCE`] anyhow.
const QUEUE: usize = 1024;
/// One permit in so many is kept for critical requests.
const KEPT_SHARE: usize = 10;

/// The limit and the queue before it.
#[derive(Debug)]
pub(crate) struct Admission {
    all: Arc<Semaphore>,
    /// Of those, what normal requests may have; `None` when nothing is kept from them.
    normal: Option<Arc<Semaphore>>,
    queue: Arc<Mutex<Queue>>,
}

/// One request's room; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _normal: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

/// A place in the queue. Allocated only when the process is full.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Result<Permit, Refusal>> + Send>>;

#[derive(Debug, Default)]
struct Queue {
    waiting: usize,
    /// Since when it has not been empty.
    filled: Option<Instant>,
}

/// Leaves the queue when dropped.
struct Place(Arc<Mutex<Queue>>);

impl Admission {
    /// At most `limit` at once; with `keep`, a tenth of them for critical requests only.
    pub(crate) fn new(limit: usize, keep: bool) -> Self {
        let kept = if keep { limit / KEPT_SHARE } else { 0 };
        Self {
            all: Arc::new(Semaphore::new(limit)),
            normal: (kept > 0).then(|| Arc::new(Semaphore::new(limit - kept))),
            queue: Arc::default(),
        }
    }

    /// Room at once. Never overtakes those who wait: a permit given back is theirs.
    pub(crate) fn enter(&self, class: Class) -> Option<Permit> {
        let normal = match self.normal_for(class) {
            Some(normal) => Some(Arc::clone(normal).try_acquire_owned().ok()?),
            None => None,
        };
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Permit {
            _normal: normal,
            _all: all,
        })
    }

    /// Room within the time that the state of the queue allows; the request's own time goes on meanwhile.
    pub(crate) fn wait(&self, class: Class, deadline: Deadline) -> Wait {
        let Some((place, patience)) = Place::take(&self.queue) else {
            return Box::pin(std::future::ready(Err(Refusal::Full)));
        };
        let normal = self.normal_for(class).cloned();
        let all = Arc::clone(&self.all);
        Box::pin(async move {
            let _place = place;
            let patience = Instant::now() + patience;
            let acquire = async {
                let normal = match normal {
                    Some(normal) => Some(acquired(normal).await),
                    None => None,
                };
                let all = acquired(all).await;
                Permit {
                    _normal: normal,
                    _all: all,
                }
            };
            let until = patience.min(deadline.instant());
            timeout_at(until, acquire).await.map_err(|_| {
                if deadline.passed() {
                    Refusal::OutOfTime
                } else {
                    Refusal::Full
                }
            })
        })
    }

    fn normal_for(&self, class: Class) -> Option<&Arc<Semaphore>> {
        match class {
            Class::Normal => self.normal.as_ref(),
            Class::Critical | Class::Health => None,
        }
    }
}

impl Place {
    /// `None`: the queue is as long as it may be.
    fn take(queue: &Arc<Mutex<Queue>>) -> Option<(Self, Duration)> {
        let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting >= QUEUE {
            return None;
        }
        state.waiting += 1;
        let filled = *state.filled.get_or_insert_with(Instant::now);
        let patience = if filled.elapsed() < BURST {
            PATIENCE
        } else {
            IMPATIENCE
        };
        Some((Self(Arc::clone(queue)), patience))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        if state.waiting == 0 {
            state.filled = None;
        }
    }
}

async fn acquired(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = semaphore.acquire_owned().await;
    permit.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn far() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_given_back_goes_to_whoever_waits() {
        let admission = Admission::new(1, false);
        let first = admission.enter(Class::Normal).unwrap();
        let mut second = task::spawn(admission.wait(Class::Normal, far()));
        assert_pending!(second.poll());
        drop(first);
        assert!(admission.enter(Class::Normal).is_none(), "overtaken");
        let second = assert_ready!(second.poll()).unwrap();
        assert!(admission.enter(Class::Normal).is_none());
        drop(second);
        assert!(admission.enter(Class::Normal).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_a_hundred_milliseconds_and_a_standing_queue_five() {
        let admission = Admission::new(1, false);
        let _held = admission.enter(Class::Normal).unwrap();
        let mut burst = task::spawn(admission.wait(Class::Normal, far()));
        assert_pending!(burst.poll());
        advance(ms(99)).await;
        let mut late = task::spawn(admission.wait(Class::Normal, far()));
        assert_pending!(late.poll());
        advance(ms(2)).await;
        assert!(matches!(assert_ready!(burst.poll()), Err(Refusal::Full)));
        drop(burst);
        // `late` still waits: the queue has not been empty for 101 ms.
        let mut standing = task::spawn(admission.wait(Class::Normal, far()));
        assert_pending!(standing.poll());
        advance(ms(6)).await;
        assert!(matches!(assert_ready!(standing.poll()), Err(Refusal::Full)));
        assert_pending!(late.poll());
        drop((standing, late));
        // Empty again: the next is a burst again.
        let mut next = task::spawn(admission.wait(Class::Normal, far()));
        advance(ms(90)).await;
        assert_pending!(next.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_uses_up_the_requests_own_time() {
        let admission = Admission::new(1, false);
        let _held = admission.enter(Class::Normal).unwrap();
        let mut wait = task::spawn(admission.wait(Class::Normal, Deadline::after(ms(30))));
        assert_pending!(wait.poll());
        advance(ms(31)).await;
        assert!(matches!(
            assert_ready!(wait.poll()),
            Err(Refusal::OutOfTime)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_is_kept_for_critical_requests() {
        let admission = Admission::new(20, true);
        let normal: Vec<_> = std::iter::from_fn(|| admission.enter(Class::Normal)).collect();
        assert_eq!(normal.len(), 18);
        let critical: Vec<_> = std::iter::from_fn(|| admission.enter(Class::Critical)).collect();
        assert_eq!(critical.len(), 2);
        drop(normal);
        // Critical requests may have everything.
        let more: Vec<_> = std::iter::from_fn(|| admission.enter(Class::Critical)).collect();
        assert_eq!(more.len(), 18);
        assert!(admission.enter(Class::Normal).is_none());
        drop((more, critical));

        let nothing_kept = Admission::new(20, false);
        let normal: Vec<_> = std::iter::from_fn(|| nothing_kept.enter(Class::Normal)).collect();
        assert_eq!(normal.len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_has_an_end() {
        let admission = Admission::new(1, false);
        let _held = admission.enter(Class::Normal).unwrap();
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| admission.wait(Class::Normal, far()))
            .collect();
        let mut one_more = task::spawn(admission.wait(Class::Normal, far()));
        assert!(matches!(assert_ready!(one_more.poll()), Err(Refusal::Full)));
        drop(waiting);
        let mut after = task::spawn(admission.wait(Class::Normal, far()));
        assert_pending!(after.poll());
    }
}
