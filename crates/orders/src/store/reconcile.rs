//! What the reconciler reads and writes.
//!
//! It writes through [`Fenced`] only: every transaction begins with the comparison of its token with the highest one seen,
//! so that a holder of the lease that was replaced, and does not know it yet, changes nothing.

use std::time::Duration;

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::{Connection, Tx};
use sqlx::Row as _;

use super::{Backlog, OrderStore, outbox, rows, update_order};
use crate::{
    clock::Timestamp,
    crash_points,
    error::{Error, Result},
    order::{OrderId, Record, Status},
    outbox::Message,
    placement::Answer,
};

/// Orders looked at in one round, of each kind.
const BATCH: i64 = 100;

/// What is left to do for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nobody works on it, and it is neither paid nor given up.
    Payment,
    /// The customer's wish to cancel it was interrupted.
    Cancel,
    Refund,
    Release,
}

/// An order for which there is work.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) order: OrderId,
    /// How often it was tried in vain.
    pub(crate) tries: u32,
    /// Its last attempt was not ended: the process died in it, and whatever it was about to do may have been done.
    pub(crate) died: bool,
}

/// How old work has to be for the reconciler to take it up: before that somebody else may be at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    pub(crate) settled: Duration,
    pub(crate) compensated: Duration,
    pub(crate) reserved: Duration,
}

/// What becomes of the key of an order that nobody works on.
#[derive(Debug)]
pub(crate) enum KeyEnd<'a> {
    Free,
    Final(&'a Answer),
    /// As if it had never been used.
    Remove,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Payment, Self::Cancel, Self::Refund, Self::Release];

    /// The label of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
            Self::Release => "release",
        }
    }

    /// How much of it is left, whether or not it may be taken up now; each from the index of just that.
    fn left_sql(self) -> &'static str {
        macro_rules! left {
            ($since:literal, $where:literal) => {
                concat!(
                    "SELECT COUNT(*) AS pending, MIN(",
                    $since,
                    ") AS since FROM orders WHERE ",
                    $where
                )
            };
        }
        match self {
            Self::Payment => left!("created_at", "status = 'pending'"),
            Self::Cancel => left!("cancel_requested_at", "cancel_requested_at IS NOT NULL"),
            Self::Refund => left!("refund_due_at", "refund_due_at IS NOT NULL"),
            Self::Release => left!("release_due_at", "release_due_at IS NOT NULL"),
        }
    }

    /// `$1` is now, `$2` the latest time at which work may have become due, `$3` the same for reservations.
    fn sql(self) -> &'static str {
        macro_rules! due {
            ($where:literal) => {
                concat!(
                    "SELECT id, tries, CAST(0 AS BIGINT) AS died FROM orders WHERE retry_at <= $1 AND ",
                    $where,
                    " ORDER BY retry_at, id LIMIT $3"
                )
            };
        }
        match self {
            Self::Payment => {
                "SELECT o.id, o.tries, CAST(CASE WHEN k.holder IS NULL THEN 0 ELSE 1 END AS BIGINT) AS died \
                 FROM orders o JOIN idempotency_keys k ON k.order_id = o.id \
                 WHERE o.status = 'pending' AND o.retry_at <= $1 AND o.updated_at <= $2 \
                 AND k.state = 'open' AND (k.holder IS NULL OR k.locked_until <= $1) \
                 AND (o.step <> 'reserve' OR o.created_at <= $4) ORDER BY o.retry_at, o.id LIMIT $3"
            }
            Self::Cancel => due!("cancel_requested_at <= $2 AND status = 'confirmed'"),
            Self::Refund => due!("refund_due_at <= $2"),
            Self::Release => due!("release_due_at <= $2"),
        }
    }
}

impl OrderStore {
    /// For a lease that brings no token of its own: one that is higher than all before.
    pub(crate) async fn next_token(&self, deadline: Deadline) -> Result<i64> {
        let mut tx = self.store.begin(deadline).await?;
        let sql = "UPDATE fences SET token = token + 1 WHERE name = 'reconciler' RETURNING token";
        let row = sqlx::query(sql).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(row.try_get("token")?)
    }

    /// Orders for which there is work of one kind, those that have waited longest first.
    pub(crate) async fn due(
        &self,
        work: Work,
        ages: Ages,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<Vec<Due>> {
        let before = match work {
            Work::Payment => now.minus(ages.settled),
            Work::Cancel | Work::Refund | Work::Release => now.minus(ages.compensated),
        };
        let mut tx = self.store.read(deadline).await?;
        let query = sqlx::query(work.sql())
            .bind(now.0)
            .bind(before.0)
            .bind(BATCH);
        let query = match work {
            Work::Payment => query.bind(now.minus(ages.reserved).0),
            Work::Cancel | Work::Refund | Work::Release => query,
        };
        let rows = query.fetch_all(&mut *tx).await?;
        let due = |row: &sqlx::any::AnyRow| {
            let id = row.try_get::<String, _>("id")?;
            let number = |column| row.try_get::<i64, _>(column);
            Ok(Due {
                order: id.parse().map_err(|e| Error::corrupt("an id", e))?,
                tries: u32::try_from(number("tries")?).unwrap_or(u32::MAX),
                died: number("died")? != 0,
            })
        };
        rows.iter().map(due).collect()
    }

    /// What is left to do of each kind, in the order of [`Work::ALL`].
    pub(crate) async fn left(&self, deadline: Deadline) -> Result<Vec<Backlog>> {
        let mut tx = self.store.read(deadline).await?;
        let mut left = Vec::new();
        for work in Work::ALL {
            let row = sqlx::query(work.left_sql()).fetch_one(&mut *tx).await?;
            left.push(Backlog::read(&row)?);
        }
        Ok(left)
    }

    /// The order, whether or not customers may know of it.
    pub(crate) async fn peek(&self, id: OrderId, deadline: Deadline) -> Result<Option<Record>> {
        let mut tx = self.store.read(deadline).await?;
        let row = sqlx::query(rows::select!("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::record).transpose()
    }
}

/// The store, for the holder of a token.
#[derive(Debug, Clone)]
pub(crate) struct Fenced {
    store: OrderStore,
    token: i64,
}

impl Fenced {
    pub(crate) fn new(store: OrderStore, token: i64) -> Self {
        Self { store, token }
    }

    /// Shuts out every older token.
    ///
    /// # Errors
    /// [`Error::Replaced`], here and below: this one is older. Nothing was changed.
    pub(crate) async fn raise(&self, deadline: Deadline) -> Result<()> {
        Ok(self.begin(deadline).await?.commit().await?)
    }

    /// Records where a pending order that nobody works on has got to, what becomes of its key, and the message that tells
    /// of it.
    ///
    /// # Errors
    /// [`Error::InProgress`]: somebody works on it again, or has brought it to an end.
    pub(crate) async fn settle(
        &self,
        record: &Record,
        key: KeyEnd<'_>,
        message: Option<&Message>,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<()> {
        let id = record.order.id;
        let mut tx = self.begin(deadline).await?;
        let free = end_key(&mut tx, id, key, now).await?;
        if !free || !update_order(&mut tx, record, Status::Pending).await? {
            return Err(Error::InProgress);
        }
        if let Some(message) = message {
            outbox::insert(&mut tx, message).await?;
        }
        worked(&mut tx, id).await?;
        let [before, after] = crash_points::of_reconciler(record);
        crash_point(before);
        tx.commit().await?;
        crash_point(after);
        if message.is_some() {
            self.store.recorded.notify_one();
        }
        Ok(())
    }

    /// Records a confirmed order as cancelled.
    ///
    /// # Errors
    /// [`Error::InProgress`]: it is not confirmed any more.
    pub(crate) async fn cancel(&self, record: &Record, deadline: Deadline) -> Result<()> {
        let mut tx = self.begin(deadline).await?;
        if !update_order(&mut tx, record, Status::Confirmed).await? {
            return Err(Error::InProgress);
        }
        worked(&mut tx, record.order.id).await?;
        crash_point("orders.reconcile.cancel.before");
        tx.commit().await?;
        crash_point("orders.reconcile.cancel.after");
        Ok(())
    }

    /// Records that one kind of work is done, or not to be done.
    pub(crate) async fn done(&self, work: Work, id: OrderId, deadline: Deadline) -> Result<()> {
        let sql: &[&str] = match work {
            Work::Payment => &[],
            Work::Cancel => &["UPDATE orders SET cancel_requested_at = NULL WHERE id = $1"],
            Work::Refund => &["UPDATE orders SET refund_due_at = NULL WHERE id = $1"],
            Work::Release => &super::RELEASED,
        };
        let mut tx = self.begin(deadline).await?;
        worked(&mut tx, id).await?;
        for sql in sql {
            let id = id.to_string();
            sqlx::query(*sql).bind(id).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Leaves an order alone until then.
    pub(crate) async fn postpone(
        &self,
        id: OrderId,
        until: Timestamp,
        deadline: Deadline,
    ) -> Result<()> {
        let mut tx = self.begin(deadline).await?;
        sqlx::query("UPDATE orders SET tries = tries + 1, retry_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(until.0)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn begin(&self, deadline: Deadline) -> Result<Tx<'_>> {
        let mut tx = self.store.store.begin(deadline).await?;
        let sql = "UPDATE fences SET token = $1 WHERE name = 'reconciler' AND token <= $1";
        let query = sqlx::query(sql).bind(self.token);
        if query.execute(&mut *tx).await?.rows_affected() == 1 {
            Ok(tx)
        } else {
            Err(Error::Replaced { token: self.token })
        }
    }
}

/// `false` when somebody works under the key, or it has its final answer.
async fn end_key(
    tx: &mut Connection,
    order: OrderId,
    end: KeyEnd<'_>,
    now: Timestamp,
) -> Result<bool> {
    macro_rules! on_free_key {
        ($change:literal) => {
            concat!(
                $change,
                " WHERE order_id = $1 AND state = 'open' AND (holder IS NULL OR locked_until <= $2)"
            )
        };
    }
    let sql = match end {
        KeyEnd::Free => {
            on_free_key!("UPDATE idempotency_keys SET holder = NULL, locked_until = 0")
        }
        KeyEnd::Final(_) => on_free_key!(
            "UPDATE idempotency_keys SET holder = NULL, locked_until = 0, state = 'final', answer = $3"
        ),
        KeyEnd::Remove => on_free_key!("DELETE FROM idempotency_keys"),
    };
    let query = sqlx::query(sql).bind(order.to_string()).bind(now.0);
    let query = match end {
        KeyEnd::Final(answer) => query.bind(rows::answer_text(answer)),
        KeyEnd::Free | KeyEnd::Remove => query,
    };
    Ok(query.execute(tx).await?.rows_affected() == 1)
}

/// What comes next for the order is not made to wait.
async fn worked(tx: &mut Connection, id: OrderId) -> Result<()> {
    sqlx::query("UPDATE orders SET tries = 0, retry_at = 0 WHERE id = $1 AND tries <> 0")
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(())
}
