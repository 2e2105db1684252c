//! Orders, idempotency keys and the outbox.
//!
//! Two attempts never write under one key at the same time: every write of an attempt names its holder, and one that was
//! replaced by another finds no row to change. Whatever belongs together is one transaction.

mod keys;
mod outbox;
mod reconcile;
mod rows;

use std::sync::Arc;

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::{Connection, Store};
use tokio::sync::Notify;

use crate::{
    clock::Timestamp,
    crash_points,
    error::{Error, Result},
    hold::Lease,
    order::{Order, OrderId, Record, Status},
    outbox::Message,
    page::Cursor,
    placement::{Answer, Placement},
};

pub(crate) use keys::KeyChange;
pub(crate) use outbox::{Backlog, Unpublished};
pub(crate) use reconcile::{Ages, Due, Fenced, KeyEnd, Work};

/// Rows forgotten in one transaction at most.
const PURGE_BATCH: i64 = 500;

/// A failed order holds no stock; one that nobody may know of is forgotten.
const RELEASED: [&str; 2] = [
    "UPDATE orders SET release_due_at = NULL WHERE id = $1",
    "DELETE FROM orders WHERE id = $1 AND visible = 0 AND status = 'failed'",
];

/// The store of orders.
#[derive(Debug, Clone)]
pub(crate) struct OrderStore {
    store: Store,
    /// Notified when a message was recorded.
    recorded: Arc<Notify>,
}

/// What a key says to one who comes with a request.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is the caller's now, and so is its order: just recorded, or left by an attempt that came to no end.
    Taken(Record),
    Final(Answer),
    /// Another attempt is at work.
    Held,
    /// The key was used for another request.
    OtherRequest,
}

impl OrderStore {
    pub(crate) fn new(store: Store) -> Self {
        let recorded = Arc::default();
        Self { store, recorded }
    }

    /// Ends once there is a store.
    pub(crate) async fn prepared(&self) {
        self.store.prepared().await;
    }

    /// Looks a key up, and takes it for `lease` where it may be taken: a new one together with the order that `begin`
    /// makes, one whose attempt failed or whose holder's time is over as it is.
    pub(crate) async fn claim(
        &self,
        lease: &Lease,
        placement: &Placement,
        begin: impl FnOnce(OrderId) -> Result<Record>,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<Claim> {
        let mut tx = self.store.begin(deadline).await?;
        let id = OrderId::random();
        let claim = if keys::insert(&mut tx, lease, placement, id, now).await? {
            let record = begin(id)?;
            insert_order(&mut tx, &record).await?;
            Claim::Taken(record)
        } else {
            keys::claim_known(&mut tx, lease, placement, now).await?
        };
        tx.commit().await?;
        Ok(claim)
    }

    /// Records where an order being placed has got to, what becomes of its key, and the message that tells of it.
    pub(crate) async fn advance(
        &self,
        lease: &Lease,
        record: &Record,
        key: KeyChange<'_>,
        message: Option<&Message>,
        deadline: Deadline,
    ) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        keys::change(&mut tx, lease, key).await?;
        if !update_order(&mut tx, record, Status::Pending).await? {
            return Err(Error::InProgress);
        }
        if let Some(message) = message {
            outbox::insert(&mut tx, message).await?;
        }
        let [before, after] = crash_points::of_attempt(record);
        crash_point(before);
        tx.commit().await?;
        crash_point(after);
        if message.is_some() {
            self.recorded.notify_one();
        }
        Ok(())
    }

    /// Forgets an order for which nothing was reserved, and its key.
    pub(crate) async fn erase(
        &self,
        lease: &Lease,
        order: OrderId,
        deadline: Deadline,
    ) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        keys::change(&mut tx, lease, KeyChange::Remove).await?;
        sqlx::query("DELETE FROM orders WHERE id = $1 AND status = 'pending'")
            .bind(order.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Lets the next attempt begin, if the key is still `lease`'s.
    pub(crate) async fn unlock(&self, lease: &Lease, deadline: Deadline) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        keys::change(&mut tx, lease, KeyChange::Unlock).await?;
        Ok(tx.commit().await?)
    }

    /// The order, if there is one that customers may know of.
    pub(crate) async fn get(&self, id: OrderId, deadline: Deadline) -> Result<Option<Record>> {
        let mut tx = self.store.read(deadline).await?;
        let row = sqlx::query(rows::select!("WHERE id = $1 AND visible = 1"))
            .bind(id.to_string())
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::record).transpose()
    }

    /// A session's orders before `cursor`, newest first.
    pub(crate) async fn list(
        &self,
        session: &str,
        cursor: Option<Cursor>,
        limit: i64,
        deadline: Deadline,
    ) -> Result<Vec<Order>> {
        let (created_at, id) = match cursor {
            Some(cursor) => (cursor.created_at.0, cursor.id.to_string()),
            None => (i64::MAX, String::new()),
        };
        let mut tx = self.store.read(deadline).await?;
        let rows = sqlx::query(rows::select!(
            "WHERE session = $1 AND visible = 1 AND (created_at, id) < ($2, $3) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        ))
        .bind(session)
        .bind(created_at)
        .bind(id)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        let order = |row| rows::record(row).map(|record| record.order);
        rows.iter().map(order).collect()
    }

    /// Records that the customer wants the order cancelled; `false` when it is not confirmed (any more).
    pub(crate) async fn request_cancel(
        &self,
        id: OrderId,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut tx = self.store.begin(deadline).await?;
        let done = sqlx::query(
            "UPDATE orders SET cancel_requested_at = COALESCE(cancel_requested_at, $2) \
             WHERE id = $1 AND status = 'confirmed'",
        )
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        crash_point("orders.cancel_wish.after");
        Ok(done.rows_affected() == 1)
    }

    /// Records that the order stays as it is: the stock decided so.
    pub(crate) async fn drop_cancel(&self, id: OrderId, deadline: Deadline) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        sqlx::query("UPDATE orders SET cancel_requested_at = NULL WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Records a confirmed order as cancelled; `false` when somebody else was first.
    pub(crate) async fn cancel(&self, record: &Record, deadline: Deadline) -> Result<bool> {
        let mut tx = self.store.begin(deadline).await?;
        let done = update_order(&mut tx, record, Status::Confirmed).await?;
        crash_point("orders.cancel.before");
        tx.commit().await?;
        crash_point("orders.cancel.after");
        Ok(done)
    }

    /// Records a confirmed order as fulfilled, and the message that asked for it; `false` when somebody else was first.
    pub(crate) async fn fulfil(
        &self,
        record: &Record,
        message: &str,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut tx = self.store.begin(deadline).await?;
        let done = update_order(&mut tx, record, Status::Confirmed).await?;
        if done {
            sqlx::query("UPDATE orders SET fulfilled_by = $2 WHERE id = $1")
                .bind(record.order.id.to_string())
                .bind(message)
                .execute(&mut *tx)
                .await?;
        }
        crash_point("orders.fulfil.before");
        tx.commit().await?;
        crash_point("orders.fulfil.after");
        Ok(done)
    }

    /// Records that a failed order holds no stock. One that nobody may know of is then forgotten.
    pub(crate) async fn released(&self, id: OrderId, deadline: Deadline) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        for sql in RELEASED {
            let id = id.to_string();
            sqlx::query(sql).bind(id).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Records that the money of a cancelled order is back.
    pub(crate) async fn refunded(&self, id: OrderId, deadline: Deadline) -> Result<()> {
        let mut tx = self.store.begin(deadline).await?;
        sqlx::query("UPDATE orders SET refund_due_at = NULL WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets some final keys of before `before`, and says whether there may be more.
    pub(crate) async fn purge_keys(&self, before: Timestamp, deadline: Deadline) -> Result<bool> {
        let sql = "DELETE FROM idempotency_keys WHERE key IN \
                   (SELECT key FROM idempotency_keys WHERE state = 'final' AND created_at < $1 LIMIT $2)";
        self.purge(sql, before, deadline).await
    }

    /// Deletes as many rows as `sql` ($1: before when, $2: how many at most) finds, and says whether there may be more.
    async fn purge(
        &self,
        sql: &'static str,
        before: Timestamp,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut tx = self.store.begin(deadline).await?;
        let gone = sqlx::query(sql)
            .bind(before.0)
            .bind(PURGE_BATCH)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected() == PURGE_BATCH.unsigned_abs())
    }
}

async fn insert_order(tx: &mut Connection, record: &Record) -> Result<()> {
    sqlx::query(
        "INSERT INTO orders (id, session, status, step, visible, items, currency, total, \
         charge_key, payment_token, trace_headers, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(record.order.id.to_string())
    .bind(&record.session)
    .bind(rows::status_name(record.order.status))
    .bind(rows::step_name(record.step))
    .bind(i64::from(record.visible))
    .bind(rows::items_text(&record.order.items))
    .bind(&record.order.currency)
    .bind(record.order.total)
    .bind(&record.charge_key)
    .bind(
        record
            .payment_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
    )
    .bind(&record.trace_headers)
    .bind(record.order.created_at.0)
    .bind(record.order.updated_at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes what changes in an order's life; `false` when its status was not `from` any more.
async fn update_order(tx: &mut Connection, record: &Record, from: Status) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE orders SET status = $3, step = $4, visible = $5, items = $6, currency = $7, \
         total = $8, payment_token = $9, release_due_at = $10, refund_due_at = $11, \
         cancel_requested_at = $12, updated_at = $13 WHERE id = $1 AND status = $2",
    )
    .bind(record.order.id.to_string())
    .bind(rows::status_name(from))
    .bind(rows::status_name(record.order.status))
    .bind(rows::step_name(record.step))
    .bind(i64::from(record.visible))
    .bind(rows::items_text(&record.order.items))
    .bind(&record.order.currency)
    .bind(record.order.total)
    .bind(
        record
            .payment_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
    )
    .bind(record.release_due_at.map(|at| at.0))
    .bind(record.refund_due_at.map(|at| at.0))
    .bind(record.cancel_requested_at.map(|at| at.0))
    .bind(record.order.updated_at.0)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_config::Secret;

    use super::*;
    use crate::{order::Line, placement::Outcome};

    mesh_store::on_each_database!(
        "orders",
        crate::MIGRATIONS,
        only_final_keys_that_are_old_enough_are_forgotten,
    );

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    async fn claim(store: &OrderStore, key: &str, now: Timestamp) -> (Lease, Claim) {
        let lease = Lease {
            key: key.to_owned(),
            holder: "holder".to_owned(),
        };
        let placement = Placement {
            key: key.to_owned(),
            fingerprint: "0f".to_owned(),
            session: String::new(),
            lines: vec![Line {
                sku: "mug".to_owned(),
                quantity: 1,
            }],
            payment_token: Secret::new("tok_ok"),
        };
        let begin = |id| Ok(Record::new(id, &placement, "{}".to_owned(), now));
        let claim = store.claim(&lease, &placement, begin, now, soon()).await;
        (lease, claim.unwrap())
    }

    async fn only_final_keys_that_are_old_enough_are_forgotten(store: Store) {
        let store = OrderStore::new(store);
        for (key, at, end) in [("old", 1, true), ("open", 1, false), ("new", 2, true)] {
            let (lease, Claim::Taken(record)) = claim(&store, key, Timestamp(at)).await else {
                panic!("{key} is new");
            };
            let answer = Answer {
                outcome: Outcome::OutOfStock,
                order: record.order.clone(),
                out_of_stock: Vec::new(),
            };
            let change = if end {
                KeyChange::Final(&answer)
            } else {
                KeyChange::Unlock
            };
            store
                .advance(&lease, &record, change, None, soon())
                .await
                .unwrap();
        }
        assert!(!store.purge_keys(Timestamp(2), soon()).await.unwrap());
        for (key, known) in [("old", false), ("open", true), ("new", true)] {
            let (_, claim) = claim(&store, key, Timestamp(9)).await;
            let fresh = matches!(&claim, Claim::Taken(record) if record.order.created_at.0 == 9);
            assert_eq!(fresh, !known, "{key}: {claim:?}");
        }
    }
}
