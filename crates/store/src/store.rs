//! The store of one service.

use std::{fmt, sync::Arc, time::Duration};

use mesh_context::Deadline;
use sqlx::migrate::Migrator;
use tokio::{sync::SetOnce, time::sleep};

use crate::{Error, StoreConfig, Tx, config::Location, limit::Limit, pool::Pool, prepare};

/// Pauses between tries to prepare: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One SQLite writer at a time is all that SQLite allows; in this process they queue in order instead of polling a lock.
const SQLITE_READERS: usize = 2;
/// Times the replicas of three services, this stays below PostgreSQL's default of 100.
const POSTGRES_CONNECTIONS: usize = 8;

/// In WAL mode readers and the writer do not wait for each other; a writer of another process is waited for.
const SQLITE_WRITER: &str =
    "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 3000; PRAGMA query_only = ON";

/// A handle to the store; clones share its connections.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    service: &'static str,
    location: Location,
    migrator: Migrator,
    prepared: SetOnce<()>,
    write: Access,
    read: Access,
}

/// A pool and how a transaction begins on it. PostgreSQL has one pool for both ways, SQLite one for each.
struct Access {
    pool: Arc<Pool>,
    begin: &'static str,
}

impl Store {
    /// The store of `service`, with the migrations that make its tables. Connects nothing.
    pub fn open(config: &StoreConfig, service: &'static str, mut migrator: Migrator) -> Self {
        sqlx::any::install_default_drivers();
        // While versions are being replaced, the one before ours meets tables that ours has made.
        migrator.set_ignore_missing(true);
        let (write, read) = access(&config.location, service);
        Self(Arc::new(Inner {
            service,
            location: config.location.clone(),
            migrator,
            prepared: SetOnce::new(),
            write,
            read,
        }))
    }

    /// Makes the folder or schema and the tables, under a lock that every process that uses the store takes. Once that
    /// has worked it does nothing more.
    ///
    /// # Errors
    /// The store is away, or refuses a migration.
    pub async fn prepare(&self) -> Result<(), Error> {
        let Inner {
            service,
            location,
            migrator,
            prepared,
            write,
            read: _,
        } = &*self.0;
        if !prepared.initialized() {
            prepare::run(service, location, migrator, &write.pool).await?;
            // An error: somebody else has prepared it meanwhile.
            let _ = prepared.set(());
        }
        Ok(())
    }

    /// Tries to [`prepare`](Store::prepare) until it works, and logs each failure.
    pub async fn connect_until_ready(&self) {
        let (mut pause, longest) = PAUSES;
        while let Err(error) = self.prepare().await {
            tracing::warn!(store = self.0.service, %error, "the store is not ready, trying again in {pause:?}");
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
        tracing::info!(store = self.0.service, "the store is ready");
    }

    /// Ends once the store is prepared: the time to begin work that nobody asks for.
    pub async fn prepared(&self) {
        self.0.prepared.wait().await;
    }

    /// Begins a transaction that may write. On SQLite there is one at a time.
    ///
    /// # Errors
    /// The store is away or not prepared, or no connection was free before the deadline.
    pub async fn begin(&self, deadline: Deadline) -> Result<Tx<'_>, Error> {
        self.begin_with(&self.0.write, deadline).await
    }

    /// Begins a transaction that only reads, all of it from one snapshot.
    ///
    /// # Errors
    /// As [`begin`](Store::begin).
    pub async fn read(&self, deadline: Deadline) -> Result<Tx<'_>, Error> {
        self.begin_with(&self.0.read, deadline).await
    }

    /// Whether a transaction locks the rows it writes (PostgreSQL), so that others may skip them, or everything (SQLite).
    #[must_use]
    pub fn locks_rows(&self) -> bool {
        matches!(self.0.location, Location::Postgres(_))
    }

    async fn begin_with<'s>(
        &self,
        access: &'s Access,
        deadline: Deadline,
    ) -> Result<Tx<'s>, Error> {
        if !self.0.prepared.initialized() {
            return Err(Error::unavailable("not prepared yet"));
        }
        if deadline.passed() {
            return Err(Error::DeadlineExceeded);
        }
        let held = access
            .pool
            .begin(access.begin, Limit::new(deadline))
            .await?;
        Ok(Tx::new(&access.pool, held))
    }
}

/// The way to write and the way to read.
fn access(location: &Location, service: &str) -> (Access, Access) {
    let access = |pool: &Arc<Pool>, begin| Access {
        pool: Arc::clone(pool),
        begin,
    };
    let pool =
        |session: &str, connections| Arc::new(Pool::new(location, session.to_owned(), connections));
    match location {
        Location::Sqlite(_) => (
            access(&pool(SQLITE_WRITER, 1), "BEGIN IMMEDIATE"),
            access(&pool(SQLITE_READER, SQLITE_READERS), "BEGIN"),
        ),
        Location::Postgres(_) => {
            // A process that is paused in the middle of a transaction must not hold its row locks for long.
            let session = format!(
                "SET search_path TO \"{service}\"; SET idle_in_transaction_session_timeout = '5s'; \
                 SET application_name = 'mesh-{service}'"
            );
            let pool = pool(&session, POSTGRES_CONNECTIONS);
            // A snapshot, as a transaction that reads has on SQLite.
            (
                access(&pool, "BEGIN"),
                access(&pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            )
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("service", &self.0.service)
            .field("location", &self.0.location)
            .field("prepared", &self.0.prepared)
            .finish_non_exhaustive()
    }
}
