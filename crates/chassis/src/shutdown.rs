//! The phases of a process's end, as everything in it sees them. Only the lifecycle moves them on.
//!
//! ```text
//!  Serving ──signal──► Draining ──drain delay──► Closing ──drain timeout──► Cut
//!             not ready, consumers        no new connections,       what is left
//!             stop taking                 finish what is in flight  is dropped
//! ```

use std::future::Future;

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Closing,
    Cut,
}

/// Tells how far the shutdown is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Moves the phases on; held by the lifecycle, or by a test.
#[derive(Debug)]
pub(crate) struct Trigger(watch::Sender<Phase>);

impl Trigger {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    pub(crate) fn drain(&self) {
        self.advance(Phase::Draining);
    }

    pub(crate) fn close(&self) {
        self.advance(Phase::Closing);
    }

    pub(crate) fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// A phase never goes back.
    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
    }
}

impl Shutdown {
    /// Ends when the process begins to drain: take no new work from a queue, give up leases when done.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reached(Phase::Draining)
    }

    /// Ends when listeners stop accepting.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reached(Phase::Closing)
    }

    /// Ends when what is still in flight is cut.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reached(Phase::Cut)
    }

    /// The process drains already.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + 'static {
        let mut phases = self.0.clone();
        async move {
            // An error means that the lifecycle is gone, and with it every phase.
            let _ = phases.wait_for(|now| *now >= phase).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task::spawn};

    use super::*;

    #[test]
    fn phases_come_in_order_and_never_go_back() {
        let trigger = Trigger::new();
        let shutdown = trigger.shutdown();
        let mut draining = spawn(shutdown.draining());
        let mut closing = spawn(shutdown.closing());
        let mut cut = spawn(shutdown.cut());
        assert_pending!(draining.poll());
        assert!(!shutdown.is_draining());

        trigger.drain();
        assert!(shutdown.is_draining());
        assert_ready!(draining.poll());
        assert_pending!(closing.poll());

        trigger.cut();
        trigger.close();
        assert_ready!(closing.poll());
        assert_ready!(cut.poll());
        assert_ready!(spawn(shutdown.cut()).poll());
    }
}
