//! What everybody may know about the replicas: the list that the supervisor publishes.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    child::Exit,
    folder::Entry,
    ports::Addresses,
    process::{Process, Protocol, ReplicaId},
    replica::{Change, Death, PAUSE},
    terminal::Ink,
};

/// The list, in the order in which people read it.
pub(crate) type View = BTreeMap<ReplicaId, Status>;

/// How a replica is.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Of the newest process, which may have died since; none before the first.
    pub(crate) process: Option<(u32, Addresses)>,
    pub(crate) phase: Phase,
    /// Why it is of no use to wait: it ended by itself before it was ever ready.
    pub(crate) failure: Option<Death>,
    was_ready: bool,
    /// When the phase began that its duration is told of: until it is ready, or has stopped.
    since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "waiting_for", rename_all = "lowercase")]
pub(crate) enum Phase {
    Starting,
    /// Not ready yet, or no longer: what it waits for.
    Waiting(Vec<String>),
    Ready,
    /// Stopped by the system, and does not know.
    Paused,
    /// Dead until the pause is over.
    Down,
    /// Stopping, to be started again.
    Restarting,
    Stopping,
}

/// Whether there are just so many replicas, all of them ready.
pub(crate) fn are_ready(view: &View, process: Process, replicas: u32) -> bool {
    let mut found = 0;
    for (_, status) in view.iter().filter(|(id, _)| id.process == process) {
        found += 1;
        if status.phase != Phase::Ready {
            return false;
        }
    }
    found == replicas
}

impl Phase {
    /// Whether it is of use to ask the process something.
    pub(crate) fn answers(&self) -> bool {
        match self {
            Self::Starting | Self::Waiting(_) | Self::Ready => true,
            Self::Paused | Self::Down | Self::Restarting | Self::Stopping => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("is starting"),
            Self::Waiting(reasons) => write!(f, "waits for {}", reasons.join(" and ")),
            Self::Ready => f.write_str("is ready"),
            Self::Paused => f.write_str("is paused"),
            Self::Down => f.write_str("is down"),
            Self::Restarting => f.write_str("is restarting"),
            Self::Stopping => f.write_str("is stopping"),
        }
    }
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            process: None,
            phase: Phase::Starting,
            failure: None,
            was_ready: false,
            since: Instant::now(),
        }
    }

    /// From now on it is expected to end.
    pub(crate) fn stop(&mut self) {
        if self.phase != Phase::Stopping {
            self.enter(Phase::Stopping);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    /// How long it has been starting, stopping or down.
    pub(crate) fn in_phase(&self) -> Duration {
        self.since.elapsed()
    }

    /// What others may know of it, once it has a process.
    pub(crate) fn entry(&self, id: ReplicaId) -> Option<Entry> {
        let (pid, addresses) = self.process?;
        let listen = |protocol| {
            let speaks = id.process.protocol() == Some(protocol);
            addresses.listen.filter(|_address| speaks)
        };
        Some(Entry {
            name: id.to_string(),
            pid,
            http: listen(Protocol::Http),
            grpc: listen(Protocol::Grpc),
            admin: addresses.admin,
        })
    }

    /// Takes the change in; answers with what there is to say about it.
    pub(crate) fn note(&mut self, change: Change) -> Option<(Ink, String)> {
        match change {
            Change::Started { pid, addresses } => {
                self.process = Some((pid, addresses));
                self.started()
            }
            // What a replica told just before it heard that it shall stop changes nothing any more.
            Change::Waiting(_) | Change::Ready | Change::Paused | Change::Restarting
                if self.phase == Phase::Stopping =>
            {
                None
            }
            Change::Waiting(reasons) => self.waits(reasons),
            Change::Paused => {
                self.enter(Phase::Paused);
                let text = format!("is paused for {} s", PAUSE.as_secs());
                Some((Ink::Warning, text))
            }
            Change::Restarting => {
                self.enter(Phase::Restarting);
                None
            }
            Change::Ready => {
                let again = if self.was_ready { " again" } else { "" };
                self.was_ready = true;
                self.failure = None;
                self.phase = Phase::Ready;
                let (pid, _) = self.process?;
                let took = seconds(self.since.elapsed());
                Some((Ink::Good, format!("ready{again} in {took} (process {pid})")))
            }
            Change::Died(death) => {
                let text = obituary(&death);
                let by_itself = !matches!(death.exit, Some(Exit::Signal(_)));
                if !self.was_ready && by_itself {
                    self.failure = Some(death);
                }
                if self.phase != Phase::Stopping {
                    self.enter(Phase::Down);
                }
                Some((Ink::Bad, text))
            }
            Change::Overdue => Some((Ink::Bad, "did not stop in time: killed".to_owned())),
        }
    }

    fn started(&mut self) -> Option<(Ink, String)> {
        let took = seconds(self.in_phase());
        let text = match self.phase {
            Phase::Down => None,
            Phase::Restarting => Some(format!("stopped in {took}, starts again")),
            // It was started, or wanted no more before it was.
            _ => return None,
        };
        self.enter(Phase::Starting);
        text.map(|text| (Ink::Faint, text))
    }

    fn waits(&mut self, reasons: Vec<String>) -> Option<(Ink, String)> {
        let phase = Phase::Waiting(reasons);
        match self.phase {
            Phase::Ready => {
                let text = format!("is not ready any more: {phase}");
                self.enter(phase);
                Some((Ink::Warning, text))
            }
            Phase::Paused => {
                self.enter(phase);
                None
            }
            _ => {
                self.phase = phase;
                None
            }
        }
    }
}

fn obituary(death: &Death) -> String {
    let mut text = format!("{}; starts again in {}", death.reason, seconds(death.pause));
    for line in &death.last_lines {
        text.push_str("\n  | ");
        text.push_str(line);
    }
    text
}

/// `0.41 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
