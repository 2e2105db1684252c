//! The end of a process, step by step, each within what the drain timeout leaves it.

use std::{io, process::ExitCode, time::Duration};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Export, Reason, Serving};
use crate::{Runtime, config::DrainConfig, shutdown::Trigger, signals::Signals, telemetry::Logs};

/// The last spans never take longer, even when the drain timeout leaves more.
const SPAN_FLUSH_MOST: Duration = Duration::from_secs(2);
/// They have this long even when the drain timeout leaves nothing: enough for a collector that answers.
const SPAN_FLUSH_LEAST: Duration = Duration::from_millis(250);
/// How long a server, and then the sections, may take to say what they cut.
const CUT_LIMIT: Duration = Duration::from_millis(250);

/// Everything that has an end.
pub(super) struct Stop {
    pub(super) runtime: Runtime,
    pub(super) trigger: Trigger,
    pub(super) drain: DrainConfig,
    pub(super) export: Export,
    pub(super) admin: JoinHandle<io::Result<()>>,
    pub(super) logs: Logs,
}

impl Stop {
    pub(super) async fn run(
        self,
        reason: Reason,
        mut serving: Serving,
        signals: Signals,
    ) -> ExitCode {
        let end = Instant::now() + self.drain.timeout;
        match &reason {
            Reason::Asked(by) => tracing::info!(by, "draining"),
            Reason::Failed(what) => tracing::error!(what, "draining because something is gone"),
        }
        Handle::current().spawn(end_at_once(signals, self.logs.clone()));

        // 1. Not ready; consumers stop taking.
        self.runtime.readiness().drain();
        self.trigger.drain();
        // 2. Listeners go on serving while the platform takes the process out of its lists.
        if serving.has_listener() {
            let _ = timeout_at(end, sleep(self.drain.delay)).await;
        }
        // 3. Stop accepting, finish what is in flight; 4. at the end of the time cut what is left.
        self.trigger.close();
        let cut = self.finish(&mut serving, end).await;
        for what in &cut {
            tracing::warn!(what, "cut");
        }
        // 5. The last spans.
        let left = end.saturating_duration_since(Instant::now());
        self.export
            .flush(left.clamp(SPAN_FLUSH_LEAST, SPAN_FLUSH_MOST))
            .await;
        // 6. Admin last.
        self.admin.abort();

        tracing::info!(cut = cut.len(), "stopped");
        match (reason, cut.is_empty()) {
            (Reason::Asked(_), true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }

    /// Waits for requests and then for the sections they started. The names of those that are not done at `end`.
    async fn finish(&self, serving: &mut Serving, end: Instant) -> Vec<String> {
        let tasks = self.runtime.tasks();
        let mut cut = Vec::new();
        let finished = async {
            cut.extend(serving.drained().await);
            tasks.sections_finished().await;
        };
        if timeout_at(end, finished).await.is_ok() {
            return cut;
        }
        let sections = tasks.running_sections();
        self.trigger.cut();
        match timeout(CUT_LIMIT, serving.drained()).await {
            Ok(requests) => cut.extend(requests),
            Err(_) => cut.push("server: does not answer".to_owned()),
        }
        cut.extend(sections.into_iter().map(ToOwned::to_owned));
        // One that works on messages says which it gives back.
        let _ = timeout(CUT_LIMIT, tasks.sections_finished()).await;
        cut
    }
}

/// Whoever asks twice does not want to wait.
async fn end_at_once(mut signals: Signals, logs: Logs) {
    let signal = signals.second().await;
    tracing::warn!(signal, "ending at once");
    logs.flush();
    #[expect(
        clippy::exit,
        reason = "a second signal ends the process wherever it is"
    )]
    std::process::exit(1);
}
