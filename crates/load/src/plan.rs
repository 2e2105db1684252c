//! What is asked for: how many requests, when each is due, of which kind.

use std::time::Duration;

use crate::mix::Mix;

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Requests a second.
    pub rate: f64,
    /// For how long.
    pub length: Duration,
    /// Of which kinds.
    pub mix: Mix,
    /// A request that is due while so many are in flight is not sent: what protects the machine of those who measure.
    pub most_in_flight: usize,
}

impl Plan {
    /// When a request is due, from the start: evenly, the first at once.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many requests are due before the end.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.due_before(self.length)
    }

    /// How many of those due before that time are not among so many.
    pub(crate) fn overdue(&self, time: Duration, sent: u64) -> u64 {
        self.due_before(time.min(self.length)).saturating_sub(sent)
    }

    /// How many are due before that time from the start.
    pub(crate) fn due_before(&self, time: Duration) -> u64 {
        // What a product of two decimal fractions has too much must not make one more.
        (self.rate * time.as_secs_f64() - 1e-6).ceil().max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: f64, length: Duration) -> Plan {
        Plan {
            rate,
            length,
            mix: Mix::new([("only", 1)]).unwrap(),
            most_in_flight: 1,
        }
    }

    #[test]
    fn requests_are_due_evenly_and_before_the_end() {
        for (rate, millis, expected) in [
            (200.0, 30_000, 6_000),
            (0.1, 30_000, 3),
            (0.5, 1_000, 1),
            (3.0, 1_500, 5),
            (1_000.0, 1, 1),
            (7.0, 0, 0),
        ] {
            let plan = plan(rate, Duration::from_millis(millis));
            let count = plan.requests();
            assert_eq!(count, expected, "{rate}/s for {millis} ms");
            let last = plan.due(count.saturating_sub(1));
            assert!(count == 0 || last < plan.length, "{last:?}");
            let nanos = Duration::from_nanos(1_000);
            assert!(plan.due(count) + nanos >= plan.length, "one more fits");
        }
    }

    #[test]
    fn nothing_adds_up_over_a_day() {
        let plan = plan(333.0, Duration::from_secs(86_400));
        let last = plan.requests() - 1;
        assert_eq!(last, 333 * 86_400 - 1);
        let exact = 86_400.0 - 1.0 / 333.0;
        assert!((plan.due(last).as_secs_f64() - exact).abs() < 1e-6);
    }
}
