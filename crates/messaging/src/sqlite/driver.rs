//! Owns the connection: turns commands, leases and what can be taken into short transactions.

use std::{
    fmt,
    future::poll_fn,
    path::PathBuf,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    commands::{Command, Reply},
    file,
    hold::{Hold, Taken, Wires},
    statements,
};
use crate::{
    consumer::Registration,
    link::{End, Link, Status, keep_up},
};

/// How often a consumer with room in its hand looks at the file: while there is work, and when there is none.
const POLLS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Commands in one transaction at most.
const BATCH: usize = 256;
/// A lease is renewed so many times before it runs out.
const BEATS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Driver {
    pub(super) file: File,
    pub(super) status: Arc<Status<()>>,
    pub(super) closing: watch::Receiver<bool>,
}

/// The link to the file.
pub(super) struct File {
    path: PathBuf,
    lease: Duration,
    commands: mpsc::UnboundedReceiver<Command>,
    registrations: mpsc::UnboundedReceiver<Registration>,
    closing: watch::Receiver<bool>,
    wires: Wires,
    holds: Vec<Hold>,
    connection: Option<SqliteConnection>,
    /// Commands that no transaction has done yet.
    pending: Vec<Command>,
}

/// Why a turn did nothing.
enum Failure {
    /// Another process has the lock.
    Busy,
    Failed(sqlx::Error),
}

impl Driver {
    pub(crate) async fn run(self) {
        keep_up(self.file, self.status, self.closing).await;
    }
}

impl Link for File {
    type Session = ();

    const NAME: &'static str = "queue file";

    async fn connect(&mut self) -> Result<(), String> {
        let opened = file::open(&self.path).await;
        self.connection = Some(opened.map_err(|error| self.explain(&error))?);
        Ok(())
    }

    async fn serve(&mut self, (): &()) -> End {
        let mut connection = self.connection.take().expect("serve follows connect");
        self.holds.iter_mut().for_each(Hold::lose);
        let beat = self.lease / BEATS;
        let mut next_beat = Instant::now();
        let mut pause = POLLS.0;
        loop {
            let beats = Instant::now() >= next_beat;
            match self.turn(&mut connection, beats).await {
                Ok(moved) => {
                    if beats {
                        next_beat = Instant::now() + beat;
                    }
                    pause = if moved {
                        POLLS.0
                    } else {
                        (pause * 2).min(POLLS.1)
                    };
                }
                Err(Failure::Busy) => tracing::debug!("another process holds the queue's file"),
                Err(Failure::Failed(error)) => return End::Lost(self.explain(&error)),
            }
            if *self.closing.borrow() {
                self.connection = Some(connection);
                return End::Closed;
            }
            let next = Instant::now() + pause;
            self.wait(next.min(next_beat), next_beat).await;
        }
    }

    async fn close(&mut self, (): ()) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let now = micros(SystemTime::now());
        for hold in &mut self.holds {
            if let Err(error) = hold.leave(&mut connection, now).await {
                tracing::warn!(%error, "what was in hand comes back only when the lease runs out");
            }
        }
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "closing the queue's file");
        }
    }
}

impl File {
    pub(super) fn new(
        (path, lease): (PathBuf, Duration),
        (commands, commanded): (
            mpsc::UnboundedSender<Command>,
            mpsc::UnboundedReceiver<Command>,
        ),
        registrations: mpsc::UnboundedReceiver<Registration>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            path,
            lease,
            commands: commanded,
            registrations,
            closing,
            wires: Wires {
                commands,
                freed: Arc::new(Notify::new()),
            },
            holds: Vec::new(),
            connection: None,
            pending: Vec::new(),
        }
    }

    /// Everything that is to be done now, in one transaction. Whether any message moved.
    async fn turn(
        &mut self,
        connection: &mut SqliteConnection,
        beats: bool,
    ) -> Result<bool, Failure> {
        let leases = (beats && !self.holds.is_empty()) || self.holds.iter().any(Hold::has_news);
        let mut wanted = leases || !self.pending.is_empty();
        if !wanted && self.holds.iter().any(Hold::has_room) {
            wanted = statements::any_ready(connection)
                .await
                .map_err(busy_or_failed)?;
        }
        if !wanted {
            return Ok(false);
        }
        // The one statement that waits for other processes.
        let begin = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(busy_or_failed)?;
        let now = micros(SystemTime::now());
        let replies = self.obey(&mut transaction, now).await?;
        if leases {
            self.renew(&mut transaction, now).await?;
        }
        let taken = self.take(&mut transaction, now).await?;
        transaction.commit().await?;

        let moved = !replies.is_empty() || !taken.is_empty();
        replies.into_iter().for_each(|reply| reply());
        for (deliveries, received) in taken {
            // A consumer that was dropped meanwhile gives back what it does not get.
            let _ = deliveries.send(received);
        }
        Ok(moved)
    }

    async fn obey(
        &mut self,
        connection: &mut SqliteConnection,
        now: i64,
    ) -> Result<Vec<Reply>, sqlx::Error> {
        let mut replies = Vec::with_capacity(self.pending.len());
        for command in self.pending.drain(..) {
            replies.push(command.apply(connection, now).await?);
        }
        Ok(replies)
    }

    async fn renew(
        &mut self,
        connection: &mut SqliteConnection,
        now: i64,
    ) -> Result<(), sqlx::Error> {
        let lease = i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX);
        let alive_until = now.saturating_add(lease);
        for hold in &mut self.holds {
            hold.renew(connection, now, alive_until).await?;
        }
        self.holds.retain(|hold| !hold.is_over());
        statements::reclaim(connection, now).await
    }

    async fn take(
        &mut self,
        connection: &mut SqliteConnection,
        now: i64,
    ) -> Result<Vec<Taken>, sqlx::Error> {
        let mut taken = Vec::new();
        for hold in self.holds.iter_mut().filter(|hold| hold.has_room()) {
            taken.extend(hold.take(connection, &self.wires, now).await?);
        }
        Ok(taken)
    }

    /// Until there is something to do: at `poll` at the latest when there is room in a hand, else at `beat`.
    async fn wait(&mut self, poll: Instant, beat: Instant) {
        let Self {
            commands,
            registrations,
            closing,
            wires,
            holds,
            pending,
            ..
        } = self;
        // Commands are left when another process had the lock.
        let polls = !pending.is_empty() || holds.iter().any(Hold::has_room);
        let beats = !holds.is_empty();
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            Some(registration) = registrations.recv() => holds.push(Hold::new(registration)),
            _ = commands.recv_many(pending, BATCH), if pending.len() < BATCH => {}
            () = wires.freed.notified() => {}
            () = any_changed(holds) => {}
            () = sleep_until(if polls { poll } else { beat }), if polls || beats => {}
        }
    }

    fn explain(&self, error: &sqlx::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}

/// Ends when one of them was stopped or dropped.
async fn any_changed(holds: &mut [Hold]) {
    poll_fn(|cx| {
        let mut change = Poll::Pending;
        for hold in &mut *holds {
            if hold.poll_changed(cx).is_ready() {
                change = Poll::Ready(());
            }
        }
        change
    })
    .await;
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn busy_or_failed(error: sqlx::Error) -> Failure {
    // The low byte is the primary code: BUSY or LOCKED (https://www.sqlite.org/rescode.html).
    let code = error.as_database_error().and_then(|error| error.code());
    match code.and_then(|code| code.parse::<i32>().ok()) {
        Some(code) if [5, 6].contains(&(code & 0xff)) => Failure::Busy,
        _ => Failure::Failed(error),
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
