//! Wakes at exact times. The runtime's timer counts whole milliseconds and wakes up to two late, which would stand in
//! every latency; a thread of its own sleeps as exactly as the system can.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// One who waits.
struct Call {
    until: Instant,
    wake: oneshot::Sender<()>,
}

/// Ends its thread when it is dropped.
pub(crate) struct Alarm {
    calls: Option<Sender<Call>>,
}

impl Alarm {
    /// Exact, unless there is no thread to be had.
    pub(crate) fn start() -> Self {
        let (calls, waiting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || ring(&waiting));
        Self {
            calls: thread.ok().map(|_detached| calls),
        }
    }

    /// The runtime's timer, which follows a paused clock.
    #[cfg(test)]
    pub(crate) fn of_runtime() -> Self {
        Self { calls: None }
    }

    /// Returns at that time, or at once when it has passed.
    pub(crate) async fn until(&self, until: Instant) {
        if Instant::now() >= until {
            return;
        }
        if let Some(calls) = &self.calls {
            let (wake, woken) = oneshot::channel();
            if calls.send(Call { until, wake }).is_ok() && woken.await.is_ok() {
                return;
            }
        }
        sleep_until(until).await;
    }
}

fn ring(calls: &Receiver<Call>) {
    while let Ok(Call { until, wake }) = calls.recv() {
        // It may wake earlier.
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        // Whoever waited may have been told to stop.
        let _gone = wake.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_wakes_too_early() {
        let alarm = Alarm::start();
        for micros in [0, 1, 300, 2_500, 20_000] {
            let until = Instant::now() + Duration::from_micros(micros);
            alarm.until(until).await;
            assert!(Instant::now() >= until, "{micros} µs");
        }
    }

    #[tokio::test]
    async fn one_who_stops_waiting_holds_up_nobody() {
        let alarm = Alarm::start();
        let now = Instant::now();
        {
            let given_up = alarm.until(now + Duration::from_millis(5));
            tokio::select! {
                biased;
                () = given_up => unreachable!("not yet"),
                () = std::future::ready(()) => {}
            }
        }
        let until = now + Duration::from_millis(10);
        alarm.until(until).await;
        assert!(Instant::now() >= until);
    }
}
