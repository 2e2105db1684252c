//! What whoever watches sees: one line that changes on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{facts::Outcome, tally::Tally};

const LIVE: Duration = Duration::from_millis(500);
const PLAIN: Duration = Duration::from_secs(15);

/// Cheap to share.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    live: bool,
    phase: Mutex<String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            live: stderr().is_terminal(),
            phase: Mutex::new("starting".to_owned()),
        }
    }

    /// What is done from now on.
    pub(crate) fn phase(&self, phase: String) {
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *current = phase;
    }

    /// Something worth a line of its own.
    pub(crate) fn say(&self, what: &str) {
        let erase = if self.live { "\r\x1b[K" } else { "" };
        let seconds = self.start.elapsed().as_secs();
        // Nobody watches when it cannot be written.
        let _ = writeln!(stderr(), "{erase}{seconds:>5} s  {what}");
    }

    /// Shows how far it is, for as long as it is polled.
    pub(crate) async fn watch(&self, tally: &Tally, orders: u32, faults: usize) {
        loop {
            sleep(if self.live { LIVE } else { PLAIN }).await;
            let line = self.line(tally, orders, faults);
            if self.live {
                let seconds = self.start.elapsed().as_secs();
                let _ = write!(stderr(), "\r\x1b[K{seconds:>5} s  {line}");
                let _ = stderr().flush();
            } else {
                self.say(&line);
            }
        }
    }

    fn line(&self, tally: &Tally, orders: u32, faults: usize) -> String {
        let count = |count: &std::sync::atomic::AtomicU32| count.load(Ordering::Relaxed);
        let [due, ok, refused, unknown] =
            [&tally.due, &tally.ok, &tally.refused, &tally.unknown].map(count);
        let waiting = due.saturating_sub(ok + refused + unknown);
        let struck = count(&tally.faults);
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            "{phase}: orders {due}/{orders}, ok {ok}, refused {refused}, unknown {unknown}, \
             waiting {waiting}; faults {struck}/{faults}"
        )
    }
}

/// For the table.
pub(crate) fn outcome_name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(_) => "ok: placed (201)".to_owned(),
        Outcome::Fail(402) => "fail: declined (402)".to_owned(),
        Outcome::Fail(409) => "fail: out of stock (409)".to_owned(),
        Outcome::Fail(status) => format!("fail: {status}"),
        Outcome::Info => "info: no answer, gave up".to_owned(),
        Outcome::NotSent => "not sent: no cart".to_owned(),
    }
}
