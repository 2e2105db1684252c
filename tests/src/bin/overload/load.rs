//! Something done at a fixed rate, and how long each took since it was due.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What became of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered.
    Good,
    /// Refused because the service is full.
    Shed,
    /// Anything else.
    Failed,
}

/// One call that was due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When, since the start.
    pub(crate) due: Duration,
    /// From then to its outcome.
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// Calls, some of which are still out.
#[derive(Debug)]
pub(crate) struct Load {
    samples: Vec<Sample>,
    out: JoinSet<Sample>,
}

impl Load {
    /// Makes `rate` calls a second, evenly, for `length`; returns when the last has been sent.
    pub(crate) async fn offer<F>(rate: f64, length: Duration, call: impl Fn() -> F) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut load = Self {
            samples: Vec::new(),
            out: JoinSet::new(),
        };
        let start = Instant::now();
        for due in (0u32..).map(|number| Duration::from_secs_f64(f64::from(number) / rate)) {
            if due >= length {
                break;
            }
            sleep_until(start + due).await;
            let call = call();
            load.out.spawn(async move {
                let outcome = call.await;
                let took = (start + due).elapsed();
                Sample { due, took, outcome }
            });
            while let Some(sample) = load.out.try_join_next() {
                load.samples.push(sample.expect("a call does not panic"));
            }
        }
        sleep_until(start + length).await;
        load
    }

    /// Waits for what is still out.
    pub(crate) async fn finish(mut self) -> Vec<Sample> {
        while let Some(sample) = self.out.join_next().await {
            self.samples.push(sample.expect("a call does not panic"));
        }
        self.samples
    }
}

/// How many of the samples ended so.
pub(crate) fn count(samples: &[Sample], outcome: Outcome) -> usize {
    let ended_so = |sample: &&Sample| sample.outcome == outcome;
    samples.iter().filter(ended_so).count()
}

/// The time that `percent` of the good samples kept; zero when there is none.
pub(crate) fn percentile(samples: &[Sample], percent: usize) -> Duration {
    let good = samples.iter().filter(|s| s.outcome == Outcome::Good);
    let mut times: Vec<_> = good.map(|sample| sample.took).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::ready};

    use tokio::sync::oneshot;

    use super::*;

    const RATE: f64 = 1000.0;
    const LENGTH: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_is_not_answered_holds_up_nothing() {
        let (answer, late) = oneshot::channel();
        let late = Cell::new(Some(late));
        let load = Load::offer(RATE, LENGTH, || {
            let late = late.take();
            async {
                if let Some(late) = late {
                    let _ = late.await;
                }
                Outcome::Good
            }
        });
        let load = load.await;
        assert_eq!(load.out.len() + load.samples.len(), 50);
        let _ = answer.send(());
        let samples = load.finish().await;
        assert_eq!(count(&samples, Outcome::Good), 50);
        assert!(percentile(&samples, 100) >= LENGTH);
    }

    #[tokio::test]
    async fn time_counts_from_when_a_call_was_due() {
        let first = Cell::new(true);
        let samples = Load::offer(RATE, LENGTH, || {
            let start = Instant::now();
            // Whoever measures is held up itself; the calls are answered at once.
            while first.get() && start.elapsed() < LENGTH {
                std::hint::spin_loop();
            }
            first.set(false);
            ready(Outcome::Good)
        });
        let samples = samples.await.finish().await;
        let mut late = samples.iter().filter(|sample| sample.took > LENGTH / 2);
        assert!(late.nth(10).is_some(), "{samples:?}");
    }

    #[test]
    fn percentiles_are_of_good_answers() {
        let sample = |took, outcome| Sample {
            due: Duration::ZERO,
            took: Duration::from_millis(took),
            outcome,
        };
        let mut samples: Vec<_> = (1..=100).map(|ms| sample(ms, Outcome::Good)).collect();
        samples.push(sample(1000, Outcome::Shed));
        for percent in [1, 50, 99, 100] {
            let expected = Duration::from_millis(percent);
            assert_eq!(percentile(&samples, percent as usize), expected);
        }
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
