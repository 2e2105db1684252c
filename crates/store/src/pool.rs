//! The connections to one database, and who may have one.
//!
//! Written here, small, because sqlx's pool mixes two waits that mean different things: for a free connection (this process
//! is busy: wait as long as the request can) and for a database that refuses connections (it is away: say so at once; sqlx
//! tries again until its time is up). It also pings before each use; here a transaction's `BEGIN` is the test of a used
//! connection, which costs no extra round trip.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_context::Deadline;
use sqlx::{AnyConnection, ConnectOptions as _, any::AnyConnectOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{Connection, config::Location, limit::Limit};

/// A database that has not let us in by then is away. Longer than any request waits for it: see [`Pool::open`].
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For the rollback of a transaction that was dropped.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(3);

pub(crate) struct Pool {
    options: AnyConnectOptions,
    /// Run once on each new connection.
    session: Cow<'static, str>,
    /// Whether the server can be told to end a statement at the limit.
    statement_timeout: bool,
    /// As many as there may be connections, handed out in the order of asking.
    permits: Arc<Semaphore>,
    /// The most recently used is last.
    idle: Mutex<Vec<Connection>>,
}

/// A connection in use, and the right to it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) connection: Connection,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(
        location: &Location,
        session: impl Into<Cow<'static, str>>,
        connections: usize,
    ) -> Self {
        Self {
            options: location.options(),
            session: session.into(),
            statement_timeout: matches!(location, Location::Postgres(_)),
            permits: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
        }
    }

    /// A connection on which a transaction has begun with the statement `begin`.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        begin: &'static str,
        limit: Limit,
    ) -> Result<Held, sqlx::Error> {
        let permit = self.permit(limit).await?;
        loop {
            // First, so that whoever has no time left does not cost a connection.
            let begin = self.statement(begin, limit)?;
            let Some(mut connection) = self.take_idle() else {
                break;
            };
            connection.renew(limit);
            match connection.run(begin).await {
                Ok(()) => return Ok(Held { connection, permit }),
                // Nothing has happened yet, so another connection may do: the database was restarted since, perhaps.
                Err(error) => tracing::debug!(%error, "closing a used connection"),
            }
        }
        let mut held = self.open(permit, limit).await?;
        held.connection.renew(limit);
        let begin = self.statement(begin, limit)?;
        held.connection.run(begin).await?;
        Ok(held)
    }

    /// A new connection that counts for no one.
    pub(crate) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        let limit = || Limit::alone(CONNECT_LIMIT);
        let raw: AnyConnection = limit().bound(self.options.connect()).await?;
        let mut connection = Connection::new(raw, limit());
        connection.run(self.session.clone()).await?;
        Ok(connection)
    }

    /// A new connection. Making it goes on when the request has no more time for it, and then it is there for the next:
    /// with very little CPU it takes longer than any request has, and whoever begins anew each time never gets one.
    async fn open(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        limit: Limit,
    ) -> Result<Held, sqlx::Error> {
        let pool = Arc::clone(self);
        let (sender, made) = oneshot::channel();
        // Ends by its own limit; the permit goes with it, so there are never more of them than connections.
        tokio::runtime::Handle::current().spawn(async move {
            let made = pool.connect().await;
            let made = made.map(|connection| Held { connection, permit });
            if let Err(Ok(unclaimed)) = sender.send(made) {
                pool.give_back(unclaimed);
            }
        });
        let made = async { made.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) };
        limit.bound(made).await
    }

    /// Takes back a connection whose transaction has ended.
    pub(crate) fn give_back(&self, held: Held) {
        let Held { connection, permit } = held;
        self.idle().push(connection);
        drop(permit);
    }

    /// Ends a transaction that was not committed.
    pub(crate) fn abandon(self: &Arc<Self>, mut held: Held) {
        // A closed connection is rolled back by the database. So is this one's when no runtime is left to say it.
        let (false, Ok(runtime)) = (
            held.connection.interrupted(),
            tokio::runtime::Handle::try_current(),
        ) else {
            return;
        };
        let pool = Arc::clone(self);
        // One message that outlives a dropped future for a moment; the permit goes with it.
        runtime.spawn(async move {
            held.connection
                .renew(Limit::new(Deadline::after(ROLLBACK_LIMIT)));
            if held.connection.run("ROLLBACK").await.is_ok() {
                pool.give_back(held);
            }
        });
    }

    async fn permit(&self, limit: Limit) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        let permits = Arc::clone(&self.permits);
        let permit = limit
            .bound(async { Ok(permits.acquire_owned().await) })
            .await?;
        Ok(permit.expect("nobody closes the semaphore"))
    }

    fn statement(
        &self,
        begin: &'static str,
        limit: Limit,
    ) -> Result<Cow<'static, str>, sqlx::Error> {
        if !self.statement_timeout {
            return Ok(begin.into());
        }
        match limit.remaining().as_millis() {
            // Zero would switch it off.
            0 => Err(limit.exceeded()),
            millis => Ok(format!("{begin}; SET LOCAL statement_timeout = {millis}").into()),
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("nobody panics while holding it")
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("free", &self.permits.available_permits())
            .finish_non_exhaustive()
    }
}
