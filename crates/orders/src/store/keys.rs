//! Idempotency keys: who may work under one, and for how long.

use mesh_store::Connection;
use sqlx::Row as _;

use super::{Claim, rows};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    hold::Lease,
    order::OrderId,
    placement::{Answer, Placement},
};

/// What becomes of the key in the same transaction.
#[derive(Debug)]
pub(crate) enum KeyChange<'a> {
    /// The attempt goes on, until then at most.
    Hold(Timestamp),
    /// The next attempt may begin.
    Unlock,
    Final(&'a Answer),
    /// As if it had never been used.
    Remove,
}

/// Records a key with its order, held; `false` when it is known already.
pub(super) async fn insert(
    tx: &mut Connection,
    lease: &Lease,
    placement: &Placement,
    order: OrderId,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO idempotency_keys \
         (key, fingerprint, order_id, state, holder, locked_until, created_at) \
         VALUES ($1, $2, $3, 'open', $4, $5, $6) ON CONFLICT (key) DO NOTHING",
    )
    .bind(&lease.key)
    .bind(&placement.fingerprint)
    .bind(order.to_string())
    .bind(&lease.holder)
    .bind(Lease::until(now).0)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a known key if it may be taken.
pub(super) async fn claim_known(
    tx: &mut Connection,
    lease: &Lease,
    placement: &Placement,
    now: Timestamp,
) -> Result<Claim> {
    let row =
        sqlx::query("SELECT fingerprint, order_id, answer FROM idempotency_keys WHERE key = $1")
            .bind(&lease.key)
            .fetch_optional(&mut *tx)
            .await?;
    let Some(row) = row else {
        // Given up by its holder since we tried to insert it: the next one may have it.
        return Ok(Claim::Held);
    };
    if row.try_get::<String, _>("fingerprint")? != placement.fingerprint {
        return Ok(Claim::OtherRequest);
    }
    if let Some(answer) = row.try_get::<Option<String>, _>("answer")? {
        return rows::answer(&answer).map(Claim::Final);
    }
    let taken = sqlx::query(
        "UPDATE idempotency_keys SET holder = $2, locked_until = $3 \
         WHERE key = $1 AND state = 'open' AND (holder IS NULL OR locked_until <= $4)",
    )
    .bind(&lease.key)
    .bind(&lease.holder)
    .bind(Lease::until(now).0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(Claim::Held);
    }
    let row = sqlx::query(rows::select!("WHERE id = $1"))
        .bind(row.try_get::<String, _>("order_id")?)
        .fetch_one(tx)
        .await?;
    rows::record(&row).map(Claim::Taken)
}

/// # Errors
/// [`Error::InProgress`]: another attempt has the key now.
pub(super) async fn change(
    tx: &mut Connection,
    lease: &Lease,
    change: KeyChange<'_>,
) -> Result<()> {
    let sql = match change {
        KeyChange::Hold(_) => {
            "UPDATE idempotency_keys SET locked_until = $3 WHERE key = $1 AND holder = $2"
        }
        KeyChange::Unlock => {
            "UPDATE idempotency_keys SET holder = NULL, locked_until = 0 \
             WHERE key = $1 AND holder = $2"
        }
        KeyChange::Final(_) => {
            "UPDATE idempotency_keys SET holder = NULL, locked_until = 0, state = 'final', \
             answer = $3 WHERE key = $1 AND holder = $2"
        }
        KeyChange::Remove => "DELETE FROM idempotency_keys WHERE key = $1 AND holder = $2",
    };
    let query = sqlx::query(sql).bind(&lease.key).bind(&lease.holder);
    let query = match change {
        KeyChange::Hold(until) => query.bind(until.0),
        KeyChange::Final(answer) => query.bind(rows::answer_text(answer)),
        KeyChange::Unlock | KeyChange::Remove => query,
    };
    if query.execute(tx).await?.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::InProgress)
    }
}
