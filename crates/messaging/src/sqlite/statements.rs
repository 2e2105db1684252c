//! The SQL of the embedded queue. Each function is a part of one transaction.

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use time::OffsetDateTime;

use super::commands::How;
use crate::{
    DeadLetter, Depth, Headers, Replay,
    dead::TOO_OFTEN,
    queue::Outgoing,
    topology::{DEAD_QUEUE, DELIVERY_LIMIT, QUEUE},
};

/// A message that can be taken.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    pub(super) headers: Headers,
    pub(super) returns: u32,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

pub(super) async fn publish(connection: &mut SqliteConnection, outgoing: &Outgoing) -> Result<()> {
    sqlx::query("INSERT INTO messages (queue, message_id, body, headers) VALUES ($1, $2, $3, $4)")
        .bind(QUEUE)
        .bind(&outgoing.id)
        .bind(&outgoing.body)
        .bind(outgoing.headers.to_json())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the message was in that holder's hand.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    (seq, holder): (i64, &str),
    how: &How,
    now: i64,
) -> Result<bool> {
    let rows = match how {
        How::Done => {
            let sql = "DELETE FROM messages WHERE seq = $1 AND holder = $2";
            let delete = sqlx::query(sql).bind(seq).bind(holder);
            delete.execute(connection).await?.rows_affected()
        }
        How::Dead(reason) => {
            let sql = "UPDATE messages SET queue = $3, holder = NULL, reason = $4, died_at = $5 \
                       WHERE seq = $1 AND holder = $2";
            let update = sqlx::query(sql).bind(seq).bind(holder);
            let update = update.bind(DEAD_QUEUE).bind(reason).bind(now);
            update.execute(connection).await?.rows_affected()
        }
        How::Released => {
            let sql = "INSERT INTO messages (queue, message_id, body, headers) \
                       SELECT queue, message_id, body, headers FROM messages WHERE seq = $1 AND holder = $2";
            let copy = sqlx::query(sql).bind(seq).bind(holder);
            copy.execute(&mut *connection).await?;
            let sql = "DELETE FROM messages WHERE seq = $1 AND holder = $2";
            let delete = sqlx::query(sql).bind(seq).bind(holder);
            delete.execute(connection).await?.rows_affected()
        }
        How::CameBack => {
            let sql = "UPDATE messages SET holder = NULL, returns = returns + 1 WHERE seq = $1 AND holder = $2";
            let update = sqlx::query(sql).bind(seq).bind(holder);
            let rows = update.execute(&mut *connection).await?.rows_affected();
            bury(connection, now).await?;
            rows
        }
    };
    Ok(rows > 0)
}

/// What has come back too often becomes a dead letter.
async fn bury(connection: &mut SqliteConnection, now: i64) -> Result<()> {
    let sql = "UPDATE messages SET queue = $1, reason = $2, died_at = $3 \
               WHERE queue = $4 AND holder IS NULL AND returns > $5";
    let update = sqlx::query(sql).bind(DEAD_QUEUE).bind(TOO_OFTEN).bind(now);
    let update = update.bind(QUEUE).bind(DELIVERY_LIMIT);
    update.execute(connection).await?;
    Ok(())
}

/// Whether there is anything to take. Reads only, so that looking at an empty queue disturbs nobody.
pub(super) async fn any_ready(connection: &mut SqliteConnection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = $1 AND holder IS NULL)";
    sqlx::query(sql)
        .bind(QUEUE)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

pub(super) async fn ready(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<Ready>> {
    let sql = "SELECT seq, message_id, body, headers, returns FROM messages \
               WHERE queue = $1 AND holder IS NULL ORDER BY seq LIMIT $2";
    let select = sqlx::query(sql).bind(QUEUE).bind(count(limit));
    let rows = select.fetch_all(connection).await?;
    rows.iter().map(read_ready).collect()
}

fn read_ready(row: &SqliteRow) -> Result<Ready> {
    let headers: String = row.try_get("headers")?;
    Ok(Ready {
        seq: row.try_get("seq")?,
        id: row.try_get("message_id")?,
        body: row.try_get("body")?,
        headers: Headers::from_json(&headers),
        returns: row.try_get("returns")?,
    })
}

pub(super) async fn take(connection: &mut SqliteConnection, seq: i64, holder: &str) -> Result<()> {
    sqlx::query("UPDATE messages SET holder = $2 WHERE seq = $1")
        .bind(seq)
        .bind(holder)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn register(
    connection: &mut SqliteConnection,
    holder: &str,
    alive_until: i64,
) -> Result<()> {
    sqlx::query("INSERT INTO holders (id, alive_until) VALUES ($1, $2)")
        .bind(holder)
        .bind(alive_until)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the holder was still taken for alive.
pub(super) async fn renew(
    connection: &mut SqliteConnection,
    holder: &str,
    alive_until: i64,
) -> Result<bool> {
    let update = sqlx::query("UPDATE holders SET alive_until = $2 WHERE id = $1")
        .bind(holder)
        .bind(alive_until);
    Ok(update.execute(connection).await?.rows_affected() > 0)
}

/// Everything in the holder's hand comes back, and the holder is forgotten.
pub(super) async fn leave(connection: &mut SqliteConnection, holder: &str, now: i64) -> Result<()> {
    sqlx::query("UPDATE messages SET holder = NULL, returns = returns + 1 WHERE holder = $1")
        .bind(holder)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM holders WHERE id = $1")
        .bind(holder)
        .execute(&mut *connection)
        .await?;
    bury(connection, now).await
}

/// What is in the hand of a holder that is not alive comes back.
pub(super) async fn reclaim(connection: &mut SqliteConnection, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM holders WHERE alive_until < $1")
        .bind(now)
        .execute(&mut *connection)
        .await?;
    let sql = "UPDATE messages SET holder = NULL, returns = returns + 1 \
               WHERE holder IS NOT NULL AND holder NOT IN (SELECT id FROM holders)";
    let back = sqlx::query(sql).execute(&mut *connection).await?;
    match back.rows_affected() {
        0 => Ok(()),
        messages => {
            tracing::warn!(messages, "taken back from a consumer that is gone");
            bury(connection, now).await
        }
    }
}

pub(super) async fn holders(connection: &mut SqliteConnection) -> Result<usize> {
    let row = sqlx::query("SELECT COUNT(*) FROM holders")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
}

pub(super) async fn depth(connection: &mut SqliteConnection) -> Result<Depth> {
    let sql = "SELECT COUNT(*) FILTER (WHERE queue = $1), COUNT(*) FILTER (WHERE queue = $2) \
               FROM messages WHERE holder IS NULL";
    let select = sqlx::query(sql).bind(QUEUE).bind(DEAD_QUEUE);
    let row = select.fetch_one(connection).await?;
    let at = |index: usize| -> Result<u64> {
        Ok(u64::try_from(row.try_get::<i64, _>(index)?).unwrap_or_default())
    };
    Ok(Depth {
        ready: at(0)?,
        dead: at(1)?,
    })
}

pub(super) async fn dead_letters(connection: &mut SqliteConnection) -> Result<Vec<DeadLetter>> {
    let sql = "SELECT message_id, body, headers, returns, reason, died_at FROM messages WHERE queue = $1 ORDER BY seq";
    let rows = sqlx::query(sql)
        .bind(DEAD_QUEUE)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_dead_letter).collect()
}

fn read_dead_letter(row: &SqliteRow) -> Result<DeadLetter> {
    let headers: String = row.try_get("headers")?;
    let died_at = i128::from(row.try_get::<i64, _>("died_at")?) * 1000;
    let reason: String = row.try_get("reason")?;
    let returns: u32 = row.try_get("returns")?;
    // Its last delivery came back too, or it died in the worker's hand.
    let last = u32::from(reason != TOO_OFTEN);
    Ok(DeadLetter {
        id: row.try_get("message_id")?,
        reason,
        deliveries: Some(returns + last),
        died_at: OffsetDateTime::from_unix_timestamp_nanos(died_at).ok(),
        body: row.try_get("body")?,
        headers: Headers::from_json(&headers),
    })
}

/// To the end of the queue, as new.
pub(super) async fn replay(connection: &mut SqliteConnection, which: &Replay) -> Result<usize> {
    let id = match which {
        Replay::All => None,
        Replay::Id(id) => Some(id),
    };
    let sql = "INSERT INTO messages (queue, message_id, body, headers) \
               SELECT $1, message_id, body, headers FROM messages \
               WHERE queue = $2 AND ($3 IS NULL OR message_id = $3) ORDER BY seq";
    let copy = sqlx::query(sql).bind(QUEUE).bind(DEAD_QUEUE).bind(id);
    let copied = copy.execute(&mut *connection).await?.rows_affected();
    sqlx::query("DELETE FROM messages WHERE queue = $1 AND ($2 IS NULL OR message_id = $2)")
        .bind(DEAD_QUEUE)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(usize::try_from(copied).unwrap_or(usize::MAX))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
