//! Keeps as many replicas of each process running as are wanted, and lets everybody see how they are.
//!
//! One task owns the list; a [`Handle`] sends it commands and watches the list that it publishes.

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    time::Duration,
};

use mesh_figures::Admin;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
};

use crate::{
    child::Exit,
    folder::{Entry, MeshFile},
    launcher::Launcher,
    logs,
    process::{Process, ReplicaId},
    replica::{Act, Asked, Change, Replica, Wish},
    terminal::{Ink, Terminal},
    view::{Phase, Status, View, seconds},
};

/// Acts that may wait for a replica; people are slower.
const ACTS: usize = 4;

#[derive(Debug)]
enum Command {
    Scale { process: Process, replicas: u32 },
    Act { id: ReplicaId, asked: Asked },
    Publish,
    KillAll,
}

/// A cheap handle. The supervisor ends, and all processes with it, when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<(Command, oneshot::Sender<()>)>,
    view: watch::Receiver<View>,
}

impl Handle {
    /// Wants so many replicas of the process from now on; none stops them all.
    pub(crate) async fn scale(&self, process: Process, replicas: u32) {
        self.send(Command::Scale { process, replicas }).await;
    }

    /// Does that to a process; what was done, or why it was not.
    pub(crate) async fn act(&self, id: ReplicaId, act: Act) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        let asked = (act, answer);
        self.send(Command::Act { id, asked }).await;
        let gone = |_| Err(format!("{id} has ended by itself"));
        answered.await.unwrap_or_else(gone)
    }

    /// Writes the list to `mesh.json`, now and at every change.
    pub(crate) async fn publish(&self) {
        self.send(Command::Publish).await;
    }

    /// Stops everything at once, whatever is in flight.
    pub(crate) async fn kill_all(&self) {
        self.send(Command::KillAll).await;
    }

    /// The list, whenever it changes.
    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Waits until the list is such.
    pub(crate) async fn until(&self, such: impl Fn(&View) -> bool) {
        // It fails when the supervisor is gone, and with it all that one could wait for.
        let mut view = self.view();
        let _gone = view.wait_for(|view| such(view)).await;
    }

    /// Returns when the list shows what was commanded, or the supervisor is gone.
    async fn send(&self, command: Command) {
        let (obeyed, shown) = oneshot::channel();
        let _gone = self.commands.send((command, obeyed)).await;
        let _gone = shown.await;
    }
}

/// What holds a replica's task.
#[derive(Debug)]
struct Reins {
    wish: watch::Sender<Wish>,
    acts: mpsc::Sender<Asked>,
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    launcher: Launcher,
    terminal: Terminal,
    file: MeshFile,
    published: Option<Vec<Entry>>,
    wanted: BTreeMap<Process, u32>,
    reins: BTreeMap<ReplicaId, Reins>,
    replicas: JoinSet<(ReplicaId, Option<Exit>)>,
    admin: Admin,
    commands: mpsc::Receiver<(Command, oneshot::Sender<()>)>,
    changes: mpsc::Receiver<(ReplicaId, Change)>,
    /// Given to every replica.
    change_sender: mpsc::Sender<(ReplicaId, Change)>,
    view: watch::Sender<View>,
}

impl Supervisor {
    pub(crate) fn new(launcher: Launcher, file: MeshFile) -> (Self, Handle) {
        let (command_sender, commands) = mpsc::channel(16);
        let (change_sender, changes) = mpsc::channel(64);
        let (view, watched) = watch::channel(View::new());
        let this = Self {
            terminal: launcher.terminal.clone(),
            launcher,
            file,
            published: None,
            wanted: BTreeMap::new(),
            reins: BTreeMap::new(),
            replicas: JoinSet::new(),
            admin: Admin::new(),
            commands,
            changes,
            change_sender,
            view,
        };
        let handle = Handle {
            commands: command_sender,
            view: watched,
        };
        (this, handle)
    }

    /// Ends when every handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let mut obeyed = None;
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some((command, reply)) => {
                        self.obey(command);
                        obeyed = Some(reply);
                    }
                    None => return,
                },
                Some((id, change)) = self.changes.recv() => self.note(id, change),
                Some(ended) = self.replicas.join_next() => self.ended(ended),
            }
            self.write_file();
            if let Some(reply) = obeyed {
                // Whoever commanded need not wait for it.
                let _ = reply.send(());
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Scale { process, replicas } => {
                self.wanted.insert(process, replicas);
                self.reconcile();
            }
            Command::Act { id, asked } => self.act(id, asked),
            Command::Publish => self.published = Some(self.published.take().unwrap_or_default()),
            Command::KillAll => {
                self.wanted.clear();
                for reins in self.reins.values() {
                    reins.wish.send_replace(Wish::Kill);
                }
                self.view.send_modify(|view| {
                    view.values_mut().for_each(Status::stop);
                });
            }
        }
    }

    /// Starts what is missing and stops what is too much. A replica that is wanted again while it stops
    /// is started when it has ended.
    fn reconcile(&mut self) {
        let wanted = self.wanted.clone();
        for (process, count) in &wanted {
            for number in 1..=*count {
                let id = ReplicaId {
                    process: *process,
                    number,
                };
                if !self.reins.contains_key(&id) {
                    self.start(id);
                }
            }
        }
        for (id, Reins { wish, .. }) in &self.reins {
            let count = wanted.get(&id.process).copied().unwrap_or_default();
            if id.number > count && *wish.borrow() == Wish::Run {
                wish.send_replace(Wish::Stop);
                self.view.send_modify(|view| {
                    view.entry(*id).and_modify(Status::stop);
                });
            }
        }
    }

    fn start(&mut self, id: ReplicaId) {
        let (wish, wished) = watch::channel(Wish::Run);
        let (act_sender, acts) = mpsc::channel(ACTS);
        let reins = Reins {
            wish,
            acts: act_sender,
        };
        self.reins.insert(id, reins);
        let replica = Replica {
            id,
            launcher: self.launcher.clone(),
            admin: self.admin.clone(),
            wish: wished,
            acts,
            changes: self.change_sender.clone(),
        };
        self.replicas.spawn(replica.keep());
        self.view.send_modify(|view| {
            view.insert(id, Status::new());
        });
    }

    /// Hands it to the replica, unless there is no process to do it to.
    fn act(&self, id: ReplicaId, asked: Asked) {
        let view = self.view.borrow();
        let (Some(status), Some(reins)) = (view.get(&id), self.reins.get(&id)) else {
            return refuse(asked, format!("{id} is not running"));
        };
        match &status.phase {
            phase @ (Phase::Down | Phase::Restarting | Phase::Stopping) => {
                refuse(asked, format!("{id} {phase}"));
            }
            phase @ Phase::Paused if asked.0 == Act::Pause => {
                refuse(asked, format!("{id} {phase}"))
            }
            Phase::Starting | Phase::Waiting(_) | Phase::Ready | Phase::Paused => {
                if let Err(full) = reins.acts.try_send(asked) {
                    refuse(full.into_inner(), format!("{id} is busy"));
                }
            }
        }
    }

    fn note(&mut self, id: ReplicaId, change: Change) {
        let mut said = None;
        self.view.send_modify(|view| {
            if let Slot::Occupied(mut slot) = view.entry(id) {
                said = slot.get_mut().note(change);
            }
        });
        if let Some((ink, text)) = said {
            self.say(id, ink, &text);
        }
    }

    fn ended(&mut self, ended: Result<(ReplicaId, Option<Exit>), JoinError>) {
        // What it told before it ended comes first.
        while let Ok((id, change)) = self.changes.try_recv() {
            self.note(id, change);
        }
        let (id, exit) =
            ended.expect("a replica's task neither panics nor is aborted while we run");
        self.reins.remove(&id);
        let mut took = Duration::ZERO;
        self.view.send_modify(|view| {
            if let Some(status) = view.remove(&id) {
                took = status.in_phase();
            }
        });
        let how = match exit {
            Some(Exit::Code(0)) | None => String::new(),
            Some(exit) => format!(": it {exit}"),
        };
        self.say(
            id,
            Ink::Faint,
            &format!("stopped in {}{how}", seconds(took)),
        );
        self.reconcile();
    }

    fn say(&self, id: ReplicaId, ink: Ink, text: &str) {
        let palette = self.terminal.palette();
        self.terminal
            .say(logs::prefix(id, palette) + &palette.paint(ink, text));
    }

    fn write_file(&mut self) {
        let Some(published) = &self.published else {
            return;
        };
        let entries: Vec<Entry> = self
            .view
            .borrow()
            .iter()
            .filter_map(|(id, status)| status.entry(*id))
            .collect();
        if *published == entries {
            return;
        }
        if let Err(error) = self.file.write(&entries) {
            self.terminal
                .say(format!("cannot write mesh.json: {error}"));
        }
        self.published = Some(entries);
    }
}

fn refuse((_, answer): Asked, why: String) {
    // Whoever asked may have gone away.
    let _ = answer.send(Err(why));
}

#[cfg(test)]
pub(crate) mod tests;
