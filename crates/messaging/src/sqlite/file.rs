//! The file: made when it is missing, for this user only.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

/// Other processes hold the lock for milliseconds; one that is paused with it in its hand is not waited for here, but by
/// trying again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// `position` in the queue is `seq`, which is never used twice; `returns` counts how often a message has come back. The
/// partial index holds what can be taken.
const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS messages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT NOT NULL,
    message_id TEXT NOT NULL,
    body       BLOB NOT NULL,
    headers    TEXT NOT NULL,
    returns    INTEGER NOT NULL DEFAULT 0,
    holder     TEXT,
    reason     TEXT,
    died_at    INTEGER
);
CREATE INDEX IF NOT EXISTS messages_ready ON messages (queue, seq) WHERE holder IS NULL;
CREATE INDEX IF NOT EXISTS messages_held ON messages (holder) WHERE holder IS NOT NULL;
CREATE TABLE IF NOT EXISTS holders (
    id          TEXT PRIMARY KEY,
    alive_until INTEGER NOT NULL
);";

/// What answered commits promise: they survive `kill -9` and the loss of power.
pub(super) async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let file: PathBuf = path.to_owned();
    tokio::task::spawn_blocking(move || make(&file))
        .await
        .map_err(io::Error::other)
        .and_then(|made| made)
        .map_err(sqlx::Error::Io)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.connect().await?;
    sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
    Ok(connection)
}

/// SQLite gives its journals the rights of the file.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}
