//! Watches what a process says at `/readyz`: often until it is ready, from then on once a second.

use std::{net::SocketAddr, time::Duration};

use mesh_figures::{Admin, Readiness};
use tokio::time::{Instant, sleep_until};

use crate::replica::Change;

/// A process is ready within tens of milliseconds; asking costs next to nothing.
const UNREADY_EVERY: Duration = Duration::from_millis(20);

/// One that is ready stays so, until it drains or hangs.
const READY_EVERY: Duration = Duration::from_secs(1);

/// Whoever has said nothing for so long hangs, or is paused; on a busy machine one answer may be late.
const SILENCE: Duration = Duration::from_secs(2);

/// What such a one is said to wait for.
const ANSWER: &str = "an answer";

/// Of one process, from its start on.
#[derive(Debug)]
pub(crate) struct Watch {
    admin: Admin,
    address: SocketAddr,
    next: Instant,
    told: Option<Readiness>,
    silent_since: Option<Instant>,
    ready_at: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(admin: Admin, address: SocketAddr) -> Self {
        Self {
            admin,
            address,
            next: Instant::now(),
            told: None,
            silent_since: None,
            ready_at: None,
        }
    }

    /// When it was ready for the first time.
    pub(crate) fn ready_at(&self) -> Option<Instant> {
        self.ready_at
    }

    /// Waits for something that was not told yet. Dropped before, it loses nothing.
    pub(crate) async fn change(&mut self) -> Change {
        loop {
            sleep_until(self.next).await;
            let asked = Instant::now();
            let found = self.admin.readiness(self.address).await;
            let is_ready = found == Readiness::Ready;
            let every = if is_ready { READY_EVERY } else { UNREADY_EVERY };
            self.next = Instant::now() + every;
            if let Some(change) = self.note(found, asked) {
                return change;
            }
        }
    }

    /// It may have changed without our looking: it is not ready before it says so.
    pub(crate) fn begin_again(&mut self) -> Change {
        self.next = Instant::now();
        self.silent_since = None;
        self.told = Some(hangs());
        Change::Waiting(vec![ANSWER.to_owned()])
    }

    fn note(&mut self, found: Readiness, asked: Instant) -> Option<Change> {
        let found = if found == Readiness::Silent {
            let since = *self.silent_since.get_or_insert(asked);
            // One that never spoke is starting.
            if self.told.is_none() || since.elapsed() < SILENCE {
                return None;
            }
            hangs()
        } else {
            self.silent_since = None;
            found
        };
        if self.told.as_ref() == Some(&found) {
            return None;
        }
        self.told = Some(found.clone());
        match found {
            Readiness::Waiting(reasons) => Some(Change::Waiting(reasons)),
            Readiness::Ready => {
                self.ready_at.get_or_insert_with(Instant::now);
                Some(Change::Ready)
            }
            Readiness::Silent => None,
        }
    }
}

fn hangs() -> Readiness {
    Readiness::Waiting(vec![ANSWER.to_owned()])
}
