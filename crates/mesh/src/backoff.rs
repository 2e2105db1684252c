//! How long a replica that died waits before it is started again.

use std::time::Duration;

/// Short enough that a single death is hardly noticed.
const FIRST: Duration = Duration::from_millis(200);

/// Even a replica that keeps dying is back within 5 s, its own start included.
const LONGEST: Duration = Duration::from_secs(4);

/// Whoever was ready for so long did not die of its start.
const STEADY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after a death; `ready_for` says how long the replica had been ready, if it ever was.
    pub(crate) fn pause(&mut self, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|ready_for| ready_for >= STEADY) {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_keeps_dying_and_stay_bounded() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.pause(None).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 4000, 4000]);
    }

    #[test]
    fn a_replica_that_was_ready_for_a_while_starts_afresh() {
        let mut backoff = Backoff::new();
        backoff.pause(None);
        backoff.pause(None);
        assert_eq!(backoff.pause(Some(STEADY / 2)), FIRST * 4);
        assert_eq!(backoff.pause(Some(STEADY)), FIRST);
    }
}
