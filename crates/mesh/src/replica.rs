//! Keeps one replica running: starts its process, watches it, starts it again when it dies.
//!
//! ```text
//!            ┌────────────── pause ◄─────────────┐
//!            ▼                                   │ died
//!  ──────► start ──► answers /readyz ──► ready ──┤
//!                                                │ asked to stop
//!                       end ◄── SIGKILL ◄── SIGTERM
//! ```

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use rustix::process::Signal;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    backoff::Backoff,
    child::{Child, Exit},
    launcher::Launcher,
    ports::Addresses,
    probe::{Probe, Readiness},
    process::ReplicaId,
};

/// A process is ready within tens of milliseconds; asking costs next to nothing.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// What the supervisor wants of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    /// Finish what is in flight, within the time that the settings allow.
    Stop,
    Kill,
}

/// What the supervisor is told.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Started {
        pid: u32,
        addresses: Addresses,
    },
    /// It answers, and is not ready yet: what it waits for.
    Waiting(Vec<String>),
    Ready,
    Died(Death),
    /// It did not stop in time and is killed.
    Overdue,
}

/// The end of a process that was not asked for.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    /// How it ended; none if it could not even be started.
    pub(crate) exit: Option<Exit>,
    pub(crate) reason: String,
    pub(crate) last_lines: Vec<String>,
    /// Until the next start.
    pub(crate) pause: Duration,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) launcher: Launcher,
    pub(crate) probe: Probe,
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) changes: mpsc::Sender<(ReplicaId, Change)>,
}

/// One life of the process, from start to end.
struct Life {
    exit: Option<Exit>,
    reason: String,
    ready_for: Option<Duration>,
    last_lines: Vec<String>,
}

impl Replica {
    /// Ends when the replica was asked to stop and its process is gone; says how that ended, if it ran.
    pub(crate) async fn keep(mut self) -> (ReplicaId, Option<Exit>) {
        let mut backoff = Backoff::new();
        loop {
            let life = self.live().await;
            if *self.wish.borrow() != Wish::Run {
                return (self.id, life.exit);
            }
            let pause = backoff.pause(life.ready_for);
            self.tell(Change::Died(Death {
                exit: life.exit,
                reason: life.reason,
                last_lines: life.last_lines,
                pause,
            }))
            .await;
            if timeout(pause, asked(&mut self.wish, |wish| wish != Wish::Run))
                .await
                .is_ok()
            {
                return (self.id, None);
            }
        }
    }

    async fn live(&mut self) -> Life {
        let (mut child, addresses) = match self.start() {
            Ok(started) => started,
            Err(error) => {
                return Life {
                    exit: None,
                    reason: format!("cannot be started: {error}"),
                    ready_for: None,
                    last_lines: Vec::new(),
                };
            }
        };
        let pid = child.pid();
        self.tell(Change::Started { pid, addresses }).await;

        let mut ready_at = None;
        let mut wish = self.wish.clone();
        let ended = tokio::select! {
            exit = child.wait() => Some(exit),
            () = asked(&mut wish, |wish| wish != Wish::Run) => None,
            never = self.watch_readiness(addresses.admin, &mut ready_at) => match never {},
        };
        let exit = match ended {
            Some(exit) => exit,
            None => self.stop(&mut child).await,
        };
        Life {
            exit: Some(exit),
            reason: exit.to_string(),
            ready_for: ready_at.map(|at: Instant| at.elapsed()),
            last_lines: child.last_lines().await,
        }
    }

    fn start(&self) -> std::io::Result<(Child, Addresses)> {
        let addresses = self.launcher.addresses(self.id)?;
        let child = self.launcher.launch(self.id, &addresses)?;
        Ok((child, addresses))
    }

    /// Tells what the process waits for until it is ready, and notes when that was.
    async fn watch_readiness(
        &self,
        admin: SocketAddr,
        ready_at: &mut Option<Instant>,
    ) -> Infallible {
        let mut told = Vec::new();
        loop {
            match self.probe.readiness(admin).await {
                Readiness::Ready => break,
                Readiness::Waiting(reasons) if reasons != told => {
                    told.clone_from(&reasons);
                    self.tell(Change::Waiting(reasons)).await;
                }
                Readiness::Waiting(_) | Readiness::Silent => {}
            }
            sleep(PROBE_EVERY).await;
        }
        *ready_at = Some(Instant::now());
        self.tell(Change::Ready).await;
        pending().await
    }

    async fn stop(&mut self, child: &mut Child) -> Exit {
        if *self.wish.borrow() == Wish::Stop {
            child.signal(Signal::TERM);
            let mut wish = self.wish.clone();
            tokio::select! {
                exit = child.wait() => return exit,
                () = sleep(self.launcher.grace()) => self.tell(Change::Overdue).await,
                () = asked(&mut wish, |wish| wish == Wish::Kill) => {}
            }
        }
        child.signal(Signal::KILL);
        child.wait().await
    }

    async fn tell(&self, change: Change) {
        // A supervisor that is gone takes this task with it.
        let _gone = self.changes.send((self.id, change)).await;
    }
}

/// Until the supervisor's wish is such; or the supervisor is gone, which ends every replica.
async fn asked(wish: &mut watch::Receiver<Wish>, such: impl Fn(Wish) -> bool) {
    let _gone = wish.wait_for(|wish| such(*wish)).await;
}
