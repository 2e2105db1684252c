//! Shows that the main runtime still turns: a task on it writes down the time, the admin thread reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

const PERIOD: Duration = Duration::from_millis(500);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    start: Instant,
    /// Milliseconds from `start` to the last beat.
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// The first beat is now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Beats for as long as it is polled.
    pub(crate) async fn beat(self) {
        loop {
            self.last.store(self.now(), Ordering::Relaxed);
            sleep(PERIOD).await;
        }
    }

    /// How long ago the last beat was.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tokio_test::task::spawn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heart_that_is_not_polled_grows_old() {
        let heartbeat = Heartbeat::new();
        let mut beating = spawn(heartbeat.clone().beat());
        advance(Duration::from_secs(3)).await;
        assert_eq!(heartbeat.age(), Duration::from_secs(3));
        assert!(beating.poll().is_pending());
        assert_eq!(heartbeat.age(), Duration::ZERO);
    }
}
