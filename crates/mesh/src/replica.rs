//! Keeps one replica running: starts its process, watches it, starts it again when it dies.
//!
//! ```text
//!            ┌────────────── pause ◄─────────────┐
//!            ▼                                   │ died, or was killed
//!  ──────► start ──► answers /readyz ──► ready ──┤
//!            ▲                                   │ asked to stop, or to start again
//!            └────────┬─ SIGKILL ◄── SIGTERM ◄───┘
//!                     └► end
//! ```

use std::time::Duration;

use mesh_figures::Admin;
use rustix::process::Signal;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    backoff::Backoff,
    child::{Child, Exit},
    launcher::Launcher,
    ports::Addresses,
    process::ReplicaId,
    readiness::Watch,
};

/// How long [`Act::Pause`] lasts.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);

/// What the supervisor wants of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    /// Finish what is in flight, within the time that the settings allow.
    Stop,
    Kill,
}

/// What people do to a running process, to see what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// At once; it is started again as after any death.
    Kill,
    /// It is stopped by the system for [`PAUSE`] and does not know.
    Pause,
    /// It finishes what is in flight and is started again.
    Restart,
}

/// An act, and who wants to hear what was done, or why it was not.
pub(crate) type Asked = (Act, oneshot::Sender<Result<String, String>>);

/// What the supervisor is told.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Started {
        pid: u32,
        addresses: Addresses,
    },
    /// It is not ready, or no longer: what it waits for.
    Waiting(Vec<String>),
    Ready,
    Paused,
    /// It was asked to stop, and another is started then.
    Restarting,
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
    pub(crate) admin: Admin,
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) acts: mpsc::Receiver<Asked>,
    pub(crate) changes: mpsc::Sender<(ReplicaId, Change)>,
}

/// One life of the process, from start to end.
struct Life {
    exit: Option<Exit>,
    reason: String,
    ready_for: Option<Duration>,
    last_lines: Vec<String>,
    /// It was to end and to be started again.
    is_restart: bool,
}

/// Why a life comes to its end.
enum End {
    ByItself(Exit),
    /// The supervisor wishes it.
    Wish,
    Restart,
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
            if life.is_restart {
                continue;
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
                    is_restart: false,
                };
            }
        };
        let pid = child.pid();
        self.tell(Change::Started { pid, addresses }).await;

        let mut watch = Watch::new(self.admin.clone(), addresses.admin);
        let end = self.until_end(&mut child, &mut watch).await;
        let is_restart = matches!(end, End::Restart);
        let exit = match end {
            End::ByItself(exit) => exit,
            End::Wish | End::Restart => self.stop(&mut child).await,
        };
        Life {
            exit: Some(exit),
            reason: exit.to_string(),
            ready_for: watch.ready_at().map(|at| at.elapsed()),
            last_lines: child.last_lines().await,
            is_restart,
        }
    }

    fn start(&mut self) -> std::io::Result<(Child, Addresses)> {
        // What was asked of the process before this one: whoever asked hears that it is gone.
        while self.acts.try_recv().is_ok() {}
        let addresses = self.launcher.addresses(self.id)?;
        let child = self.launcher.launch(self.id, &addresses)?;
        Ok((child, addresses))
    }

    /// Tells how the process is and does to it what is asked, until it ends or shall end.
    async fn until_end(&mut self, child: &mut Child, watch: &mut Watch) -> End {
        let mut wish = self.wish.clone();
        let mut paused_until: Option<Instant> = None;
        loop {
            let resume = paused_until.unwrap_or_else(Instant::now);
            tokio::select! {
                exit = child.wait() => return End::ByItself(exit),
                () = asked(&mut wish, |wish| wish != Wish::Run) => return End::Wish,
                Some((act, answer)) = self.acts.recv() => {
                    let done = self.obey(act, child, &mut paused_until).await;
                    // Whoever asked may have gone away.
                    let _ = answer.send(Ok(done));
                    if act == Act::Restart {
                        return End::Restart;
                    }
                }
                change = watch.change(), if paused_until.is_none() => self.tell(change).await,
                () = sleep_until(resume), if paused_until.is_some() => {
                    child.signal(Signal::CONT);
                    paused_until = None;
                    let change = watch.begin_again();
                    self.tell(change).await;
                }
            }
        }
    }

    /// Says what was done.
    async fn obey(&self, act: Act, child: &Child, paused_until: &mut Option<Instant>) -> String {
        let name = format!("{} (process {})", self.id, child.pid());
        match act {
            Act::Kill => {
                child.signal(Signal::KILL);
                format!("{name} was killed")
            }
            Act::Pause => {
                child.signal(Signal::STOP);
                *paused_until = Some(Instant::now() + PAUSE);
                self.tell(Change::Paused).await;
                format!("{name} is paused for {} s", PAUSE.as_secs())
            }
            Act::Restart => {
                self.tell(Change::Restarting).await;
                format!("{name} finishes what it has in hand and is started again")
            }
        }
    }

    async fn stop(&mut self, child: &mut Child) -> Exit {
        let mut wish = self.wish.clone();
        if *wish.borrow() != Wish::Kill {
            child.signal(Signal::TERM);
            // One that is paused hears it only when it goes on.
            child.signal(Signal::CONT);
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
