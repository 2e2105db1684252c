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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Connection, config::Location, limit::Limit};

/// A database that has not let us in by then is away.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// For the rollback of a transaction that was dropped.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);

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
        &self,
        begin: &'static str,
        limit: Limit,
    ) -> Result<Held, sqlx::Error> {
        let permit = self.permit(limit).await?;
        while let Some(mut connection) = self.take_idle() {
            connection.renew(limit);
            match connection.run(self.statement(begin, limit)?).await {
                Ok(()) => return Ok(Held { connection, permit }),
                // Nothing has happened yet, so another connection may do: the database was restarted since, perhaps.
                Err(error) => tracing::debug!(%error, "closing a used connection"),
            }
        }
        let mut connection = self.connect(limit).await?;
        connection.run(self.statement(begin, limit)?).await?;
        Ok(Held { connection, permit })
    }

    /// A new connection that counts for no one.
    pub(crate) async fn connect(&self, limit: Limit) -> Result<Connection, sqlx::Error> {
        let raw: AnyConnection = limit
            .at_most(CONNECT_LIMIT)
            .bound(self.options.connect())
            .await?;
        let mut connection = Connection::new(raw, limit);
        connection.run(self.session.clone()).await?;
        Ok(connection)
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
        // One message that outlives a dropped future by at most a second; the permit goes with it.
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
