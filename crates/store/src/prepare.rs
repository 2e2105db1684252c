//! Makes the folder or the schema and the tables, when several processes start at once too.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{Row as _, migrate::Migrator};
use tokio::time::{sleep, timeout};

use crate::{Connection, Error, config::Location, pool::Pool};

/// All of it, the migrations of another replica that we wait for included.
const LONGEST: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Any number, the same for every service: two of them may share a database.
const SCHEMA_LOCK: i64 = 0x006d_6573_685f_6462;

pub(crate) async fn run(
    service: &str,
    location: &Location,
    migrator: &Migrator,
    pool: &Pool,
) -> Result<(), Error> {
    let work = async {
        match location {
            Location::Sqlite(path) => sqlite(path, migrator, pool).await,
            Location::Postgres(_) => postgres(service, migrator, pool).await,
        }
    };
    timeout(LONGEST, work)
        .await
        .unwrap_or_else(|_| Err(Error::unavailable("migrations took too long")))
}

/// A lock on a file beside the database: SQLite's own cannot be held over several migrations, nor while the journal mode
/// of a new database changes. The system lets go of it when its process dies.
async fn sqlite(path: &Path, migrator: &Migrator, pool: &Pool) -> Result<(), Error> {
    let path = path.to_owned();
    let made = tokio::task::spawn_blocking(move || make_files(&path))
        .await
        .map_err(io::Error::other);
    let lock = made.and_then(|made| made).map_err(sqlx::Error::Io)?;
    while let Err(error) = lock.try_lock() {
        match error {
            std::fs::TryLockError::WouldBlock => sleep(LOCK_POLL).await,
            std::fs::TryLockError::Error(error) => return Err(sqlx::Error::Io(error).into()),
        }
    }
    let connection = pool.connect().await?;
    migrate(connection, migrator).await
    // The file is closed here, and with it the lock is given up.
}

/// The database and its lock file, both for this user only; SQLite gives its journals the same rights.
fn make_files(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let open = |path: &Path| {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    open(path)?;
    let mut lock = PathBuf::from(path).into_os_string();
    lock.push(".lock");
    open(Path::new(&lock))
}

async fn postgres(service: &str, migrator: &Migrator, pool: &Pool) -> Result<(), Error> {
    let mut connection = pool.connect().await?;
    make_schema(service, &mut connection).await?;
    migrate(connection, migrator).await
}

/// Asks first: `CREATE SCHEMA IF NOT EXISTS` needs a right to the whole database even when the schema exists.
async fn make_schema(service: &str, connection: &mut Connection) -> Result<(), Error> {
    let exists: bool = sqlx::query("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(service)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !exists {
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK}); CREATE SCHEMA IF NOT EXISTS \"{service}\"; COMMIT"
        );
        connection.run(sql).await?;
    }
    Ok(())
}

/// Runs what is missing. On PostgreSQL the migrator holds an advisory lock, which ends with the connection at the latest:
/// that is why it is not used again.
async fn migrate(connection: Connection, migrator: &Migrator) -> Result<(), Error> {
    let mut raw = connection.into_raw();
    // `run` itself makes a future that is not `Send` for every lifetime.
    migrator
        .run_direct(None, &mut raw, false)
        .await
        .map_err(unwrap_migrate_error)
}

fn unwrap_migrate_error(error: sqlx::migrate::MigrateError) -> Error {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => sqlx::Error::Migrate(Box::new(other)).into(),
    }
}
