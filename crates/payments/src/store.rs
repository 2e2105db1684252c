//! What payments has recorded of each key.

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::{Connection, Store};
use sqlx::Row as _;

use crate::{
    charge::{Fingerprint, Key, Record, State},
    crash_points,
    error::Error,
};

/// The records. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Charges {
    store: Store,
}

impl Charges {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes the record of a key that has none. The record that there was before, if there was one, stays and is given.
    pub(crate) async fn start(
        &self,
        key: &Key,
        state: State,
        fingerprint: Option<&Fingerprint>,
        deadline: Deadline,
    ) -> Result<Option<Record>, Error> {
        let sql = "INSERT INTO charge (key, fingerprint, state, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
            ON CONFLICT (key) DO NOTHING";
        let mut tx = self.store.begin(deadline).await?;
        let fingerprint = fingerprint.map(Fingerprint::as_str);
        let insert = sqlx::query(sql)
            .bind(key.as_str())
            .bind(fingerprint)
            .bind(state.as_str())
            .bind(now());
        if insert.execute(&mut *tx).await?.rows_affected() == 0 {
            return record(&mut tx, key).await;
        }
        let [before, after] = crash_points::of_start(state);
        crash_point(before);
        tx.commit().await?;
        crash_point(after);
        Ok(None)
    }

    pub(crate) async fn find(
        &self,
        key: &Key,
        deadline: Deadline,
    ) -> Result<Option<Record>, Error> {
        let mut tx = self.store.read(deadline).await?;
        record(&mut tx, key).await
    }

    /// Records what the provider did, unless more is known already, and gives what is known now.
    pub(crate) async fn settle(
        &self,
        key: &Key,
        state: State,
        deadline: Deadline,
    ) -> Result<State, Error> {
        let sql = "UPDATE charge SET state = $2, updated_at = $3
            WHERE key = $1 AND (state = 'started' OR state = 'charged' AND $2 = 'refunded')";
        let mut tx = self.store.begin(deadline).await?;
        let update = sqlx::query(sql)
            .bind(key.as_str())
            .bind(state.as_str())
            .bind(now());
        if update.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(record(&mut tx, key)
                .await?
                .map_or(state, |record| record.state));
        }
        let [before, after] = crash_points::of_settle(state);
        crash_point(before);
        tx.commit().await?;
        crash_point(after);
        Ok(state)
    }
}

async fn record(connection: &mut Connection, key: &Key) -> Result<Option<Record>, Error> {
    let sql = "SELECT state, fingerprint FROM charge WHERE key = $1";
    let Some(row) = sqlx::query(sql)
        .bind(key.as_str())
        .fetch_optional(connection)
        .await?
    else {
        return Ok(None);
    };
    let text: String = row.try_get("state")?;
    let state = State::parse(&text).ok_or(Error::UnknownState(text))?;
    let fingerprint: Option<String> = row.try_get("fingerprint")?;
    Ok(Some(Record {
        state,
        fingerprint: fingerprint.map(Fingerprint::recorded),
    }))
}

/// For people who look into the store; nothing is decided by it.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
