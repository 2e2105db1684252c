//! What the process still waits for before it can serve: `/readyz` and gRPC health say it, by name.

use tokio::sync::watch;

/// What `/readyz` waits for while the process drains.
const SHUTDOWN: &str = "shutdown";
/// What a process that is not built yet waits for: what else it will wait for is not known before.
const START: &str = "start";

/// Cheap to clone. Ready when every [`Blocker`] is ready and the process does not drain.
#[derive(Debug, Clone)]
pub struct Readiness(watch::Sender<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    names: Vec<&'static str>,
    draining: bool,
}

impl Waiting {
    fn pending(&self) -> Vec<&'static str> {
        if self.draining {
            vec![SHUTDOWN]
        } else {
            self.names.clone()
        }
    }
}

/// Keeps the process from being ready until [`Blocker::ready`] is called. Dropped without it, it blocks for ever: who
/// gave up connecting has not connected.
#[derive(Debug)]
#[must_use = "the process is never ready without a call of `ready`"]
pub struct Blocker {
    name: &'static str,
    readiness: Readiness,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(Waiting::default()))
    }
}

impl Readiness {
    /// From now on the process waits for `name`.
    pub fn register(&self, name: &'static str) -> Blocker {
        self.0.send_modify(|waiting| {
            waiting.names.push(name);
            waiting.names.sort_unstable();
        });
        Blocker {
            name,
            readiness: self.clone(),
        }
    }

    /// The process is being built until this blocker is ready.
    pub(crate) fn starting(&self) -> Blocker {
        self.register(START)
    }

    /// Ends when the process is built.
    pub(crate) async fn built(&self) {
        let mut waiting = self.0.subscribe();
        // As below, the channel cannot close.
        let _ = waiting
            .wait_for(|waiting| !waiting.names.contains(&START))
            .await;
    }

    /// What the process waits for; empty when it is ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.borrow().pending()
    }

    /// The process can serve.
    pub fn is_ready(&self) -> bool {
        self.pending().is_empty()
    }

    /// Ends at the next moment when [`Readiness::is_ready`] is `ready`; at once if it is already.
    pub async fn becomes(&self, ready: bool) {
        let mut waiting = self.0.subscribe();
        // The sender is part of self: the channel cannot close meanwhile.
        let _ = waiting
            .wait_for(|waiting| waiting.pending().is_empty() == ready)
            .await;
    }

    /// Not ready from now on, whatever was reached.
    pub(crate) fn drain(&self) {
        self.0.send_modify(|waiting| waiting.draining = true);
    }
}

impl Blocker {
    /// What this blocker stood for has answered.
    pub fn ready(self) {
        self.readiness.0.send_modify(|waiting| {
            if let Some(index) = waiting.names.iter().position(|name| *name == self.name) {
                waiting.names.remove(index);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task::spawn};

    use super::*;

    #[test]
    fn a_process_is_ready_when_everything_it_waits_for_has_answered() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        let store = readiness.register("store");
        let queue = readiness.register("queue");
        assert_eq!(readiness.pending(), ["queue", "store"]);
        store.ready();
        assert_eq!(readiness.pending(), ["queue"]);
        queue.ready();
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_dropped_blocker_blocks_for_ever() {
        let readiness = Readiness::default();
        drop(readiness.register("store"));
        assert_eq!(readiness.pending(), ["store"]);
    }

    #[test]
    fn a_draining_process_waits_for_nothing_but_its_end() {
        let readiness = Readiness::default();
        let store = readiness.register("store");
        readiness.drain();
        assert_eq!(readiness.pending(), ["shutdown"]);
        store.ready();
        assert_eq!(readiness.pending(), ["shutdown"]);
    }

    #[test]
    fn a_change_wakes_who_waits_for_it() {
        let readiness = Readiness::default();
        let store = readiness.register("store");
        let mut ready = spawn(readiness.becomes(true));
        assert_pending!(ready.poll());
        store.ready();
        assert!(ready.is_woken());
        assert_ready!(ready.poll());
        let mut not_ready = spawn(readiness.becomes(false));
        assert_pending!(not_ready.poll());
        readiness.drain();
        assert_ready!(not_ready.poll());
    }
}
