//! The outbox: messages are recorded with what they tell of, taken by a relay for a while, and marked when the queue has
//! them.
//!
//! A relay takes messages in one short transaction and marks them in another, so that no lock is held while the queue is
//! waited for. One that dies in between leaves them taken until their time is over; they are then published again.

use std::time::Duration;

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::Connection;
use sqlx::{Row as _, any::AnyRow};

use super::OrderStore;
use crate::{clock::Timestamp, error::Result, outbox::Message};

/// A message that the queue may not have yet.
#[derive(Debug)]
pub(crate) struct Unpublished {
    pub(crate) id: String,
    /// JSON.
    pub(crate) payload: String,
    /// JSON.
    pub(crate) trace_headers: String,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) pending: i64,
    /// When the oldest was recorded.
    pub(crate) since: Option<Timestamp>,
}

impl Backlog {
    /// The age of the oldest.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// From a row of two columns.
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let since: Option<i64> = row.try_get("since")?;
        Ok(Self {
            pending: row.try_get("pending")?,
            since: since.map(Timestamp),
        })
    }
}

/// Materialized: the messages are chosen once, whatever plan the database makes. On SQLite there is one writer at a time,
/// so nothing is locked that could be skipped.
macro_rules! take {
    ($lock:literal) => {
        concat!(
            "WITH free AS MATERIALIZED (SELECT id FROM outbox WHERE published_at IS NULL ",
            "AND (taken_until IS NULL OR taken_until <= $1) ORDER BY created_at, id LIMIT $2",
            $lock,
            ") UPDATE outbox SET taken_until = $3 WHERE id IN (SELECT id FROM free) ",
            "RETURNING id, payload, trace_headers"
        )
    };
}

impl OrderStore {
    /// Ends when a message was recorded by this process since the last call.
    pub(crate) async fn message_recorded(&self) {
        self.recorded.notified().await;
    }

    /// Takes up to `most` messages that nobody is publishing, the oldest first.
    pub(crate) async fn take_messages(
        &self,
        most: i64,
        now: Timestamp,
        until: Timestamp,
        deadline: Deadline,
    ) -> Result<Vec<Unpublished>> {
        let sql = if self.store.locks_rows() {
            take!(" FOR UPDATE SKIP LOCKED")
        } else {
            take!("")
        };
        let mut tx = self.store.begin(deadline).await?;
        let rows = sqlx::query(sql)
            .bind(now.0)
            .bind(most)
            .bind(until.0)
            .fetch_all(&mut *tx)
            .await?;
        // It looks every second, mostly in vain.
        if !rows.is_empty() {
            crash_point("orders.take.before");
        }
        tx.commit().await?;
        let message = |row: &AnyRow| {
            Ok(Unpublished {
                id: row.try_get("id")?,
                payload: row.try_get("payload")?,
                trace_headers: row.try_get("trace_headers")?,
            })
        };
        rows.iter().map(message).collect()
    }

    /// Records which of the messages that were taken the queue has now; the others may be taken again.
    pub(crate) async fn mark_messages(
        &self,
        published: &[String],
        left: &[String],
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        for id in published {
            sqlx::query("UPDATE outbox SET published_at = $2 WHERE id = $1")
                .bind(id)
                .bind(now.0)
                .execute(&mut *tx)
                .await?;
        }
        for id in left {
            sqlx::query("UPDATE outbox SET taken_until = NULL WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        crash_point("orders.mark.before");
        tx.commit().await?;
        crash_point("orders.mark.after");
        Ok(())
    }

    /// Forgets some of the messages published before `before`, and says whether there may be more.
    pub(crate) async fn purge_messages(
        &self,
        before: Timestamp,
        deadline: Deadline,
    ) -> Result<bool> {
        let sql = "DELETE FROM outbox WHERE id IN \
                   (SELECT id FROM outbox WHERE published_at < $1 LIMIT $2)";
        self.purge(sql, before, deadline).await
    }

    /// What is left to publish, from the index of just that.
    pub(crate) async fn backlog(&self, deadline: Deadline) -> Result<Backlog> {
        let mut tx = self.store.read(deadline).await?;
        let sql = "SELECT COUNT(*) AS pending, MIN(created_at) AS since FROM outbox \
                   WHERE published_at IS NULL";
        Backlog::read(&sqlx::query(sql).fetch_one(&mut *tx).await?)
    }
}

pub(super) async fn insert(tx: &mut Connection, message: &Message) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (id, type, order_id, payload, trace_headers, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&message.id)
    .bind(message.kind)
    .bind(message.order.to_string())
    .bind(&message.payload)
    .bind(&message.trace_headers)
    .bind(message.created_at.0)
    .execute(tx)
    .await?;
    Ok(())
}
