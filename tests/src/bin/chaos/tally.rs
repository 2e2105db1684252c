//! What is counted while it runs, for whoever watches, and how long answers took.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::facts::Outcome;

/// Counts; shared by everybody.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) due: AtomicU32,
    pub(crate) ok: AtomicU32,
    pub(crate) refused: AtomicU32,
    pub(crate) unknown: AtomicU32,
    pub(crate) unclear: AtomicU32,
    pub(crate) faults: AtomicU32,
    latencies: Mutex<Vec<Duration>>,
}

impl Tally {
    /// A customer has the answer, or has given up.
    pub(crate) fn answered(&self, outcome: &Outcome, took: Duration) {
        let count = match outcome {
            Outcome::Ok(_) => {
                self.latencies().push(took);
                &self.ok
            }
            Outcome::Fail(_) => &self.refused,
            Outcome::Info | Outcome::NotSent => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was asked, and no answer told anything.
    pub(crate) fn unclear(&self) {
        self.unclear.fetch_add(1, Ordering::Relaxed);
    }

    /// From when they were due to their answer: the time in which so many percent of the placed orders had it.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut latencies = self.latencies();
        latencies.sort_unstable();
        let rank = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
        latencies.get(rank).copied().unwrap_or_default()
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_placed_orders() {
        let tally = Tally::default();
        assert_eq!(tally.percentile(50), Duration::ZERO);
        for ms in (1..=100).rev() {
            tally.answered(&Outcome::Ok(String::new()), Duration::from_millis(ms));
        }
        tally.answered(&Outcome::Info, Duration::from_secs(9));
        for percent in [1, 50, 99, 100] {
            let expected = Duration::from_millis(percent);
            assert_eq!(tally.percentile(percent as usize), expected);
        }
    }
}
