//! The embedded queue: a SQLite file that processes share, with the semantics of the broker.
//!
//! One driver per process owns the one connection; everybody else sends it commands. Commands that wait together are
//! committed together. A consumer has a *lease* in the file, renewed five times before it runs out; what is in the hand of
//! a consumer whose lease has run out comes back. Times in the file are the system's clock: when that jumps, messages may
//! come back too early, which costs a delivery and nothing else.

mod commands;
mod driver;
mod file;
mod hold;
mod statements;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

pub(crate) use self::driver::Driver;
use self::{
    commands::{Answer, Command, How},
    driver::File,
};
use crate::{
    DeadLetter, Depth, Error, Replay, consumer::Registration, delivery::Settle, link::Status,
    queue::Outgoing, topology::ROUTING_KEY,
};

/// As long as the broker has to confirm.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    registrations: mpsc::UnboundedSender<Registration>,
    status: Arc<Status<()>>,
}

/// A consumer's claim to what is in its hand.
#[derive(Debug)]
pub(crate) struct Lease {
    id: String,
    lost: AtomicBool,
}

/// The right to settle one message.
#[derive(Debug)]
pub(crate) struct Ticket {
    seq: i64,
    lease: Arc<Lease>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The file at `path`. Opens nothing.
pub(crate) fn open(
    path: &Path,
    lease: Duration,
    closing: watch::Receiver<bool>,
) -> (Handle, Driver) {
    let (commands, commanded) = mpsc::unbounded_channel();
    let (registrations, registered) = mpsc::unbounded_channel();
    let status = Arc::<Status<()>>::default();
    let handle = Handle {
        commands: commands.clone(),
        registrations,
        status: Arc::clone(&status),
    };
    let place = (path.to_owned(), lease);
    let file = File::new(place, (commands, commanded), registered, closing.clone());
    let driver = Driver {
        file,
        status,
        closing,
    };
    (handle, driver)
}

impl Handle {
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.status.connected()
    }

    pub(crate) async fn publish(&self, outgoing: Outgoing) -> Result<(), Error> {
        if outgoing.kind != ROUTING_KEY {
            let reason = format!("no queue for routing key {}", outgoing.kind);
            return Err(Error::Refused { reason });
        }
        self.ask(|answer| Command::Publish(outgoing, answer)).await
    }

    pub(crate) fn consume(&self, registration: Registration) {
        // Without a driver the consumer waits for ever, as it does while the queue is away.
        let _ = self.registrations.send(registration);
    }

    pub(crate) async fn depth(&self) -> Result<Depth, Error> {
        self.ask(Command::Depth).await
    }

    pub(crate) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        self.ask(Command::DeadLetters).await
    }

    pub(crate) async fn replay(&self, which: Replay) -> Result<usize, Error> {
        self.ask(|answer| Command::Replay(which, answer)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Error> {
        self.status.session()?;
        ask(&self.commands, command).await
    }
}

impl Ticket {
    pub(crate) fn is_ours(&self) -> bool {
        !self.lease.lost.load(Ordering::Acquire)
    }

    pub(crate) async fn settle(&self, how: Settle) -> Result<(), Error> {
        if !self.is_ours() {
            return Err(Error::Lost);
        }
        let how = match how {
            Settle::Ack => How::Done,
            Settle::DeadLetter(reason) => How::Dead(reason),
            Settle::Release => How::Released,
        };
        let settled = ask(&self.commands, |answer| self.command(how, Some(answer))).await;
        match settled {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Lost),
        }
    }

    pub(crate) fn give_back(&self) {
        let _ = self.commands.send(self.command(How::CameBack, None));
    }

    fn command(&self, how: How, answer: Option<Answer<bool>>) -> Command {
        Command::Settle {
            seq: self.seq,
            holder: self.lease.id.clone(),
            how,
            answer,
        }
    }
}

async fn ask<T>(
    commands: &mpsc::UnboundedSender<Command>,
    command: impl FnOnce(Answer<T>) -> Command,
) -> Result<T, Error> {
    const GONE: &str = "the queue's file failed or was closed before it answered";
    let (answer, answered) = oneshot::channel();
    commands
        .send(command(answer))
        .map_err(|_| Error::unavailable(GONE))?;
    match timeout(CONFIRM_LIMIT, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Error::unavailable(GONE)),
        Err(_) => Err(Error::unavailable(format!(
            "not confirmed within {CONFIRM_LIMIT:?}"
        ))),
    }
}

#[cfg(test)]
impl Ticket {
    /// One whose settlement the test sees.
    pub(crate) fn for_test() -> (Self, Settled) {
        let (commands, commanded) = mpsc::unbounded_channel();
        let lease = Lease {
            id: "test".to_owned(),
            lost: AtomicBool::new(false),
        };
        let ticket = Self {
            seq: 1,
            lease: Arc::new(lease),
            commands,
        };
        (ticket, Settled(commanded))
    }
}

#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Settled(mpsc::UnboundedReceiver<Command>);

#[cfg(test)]
impl Settled {
    /// Whether the next settlement is a release; it is answered.
    pub(crate) async fn next_release(&mut self) -> bool {
        let Some(Command::Settle { how, answer, .. }) = self.0.recv().await else {
            return false;
        };
        if let Some(answer) = answer {
            let _ = answer.send(true);
        }
        how == How::Released
    }
}
