//! Who moves the money: a small interface, and the provider that is built in.
//!
//! The built-in one keeps its ledger in the store of payments, in tables and transactions of its own, as if it were far
//! away: nothing here is atomic with what payments records.

use std::{future::Future, time::Duration};

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::{Connection, Store};
use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    charge::{Key, Order, State},
    store::now,
};

/// What moves money, each key once, whoever asks how often.
pub(crate) trait Provider: Send + Sync + 'static {
    /// Whether the token is one of this provider's.
    fn knows(&self, token: &str) -> bool;

    /// Takes money. `Charged`, `Declined`, or what became of the key before: `Refunded`, `Voided`. Under a key that has
    /// an outcome nothing is taken.
    fn charge(&self, order: &Order) -> impl Future<Output = Result<State, Error>> + Send;

    /// Gives back what was taken: `Refunded`. When nothing was: `Voided`, and nothing ever will be.
    fn refund(&self, key: &Key) -> impl Future<Output = Result<State, Error>> + Send;

    /// What became of the key: `Charged`, `Refunded`, `Voided`, or nothing as yet.
    fn find(&self, key: &Key) -> impl Future<Output = Result<Option<State>, Error>> + Send;
}

/// Why the provider gave no answer. What it did is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the provider did not answer in time")]
    NoAnswer,
    #[error(transparent)]
    Store(#[from] mesh_store::Error),
    #[error("the provider holds the unknown state {0:?}")]
    UnknownState(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How long the built-in provider takes for its own store.
const STORE_LIMIT: Duration = Duration::from_secs(3);
/// What `tok_slow` waits for.
const SLOW: Duration = Duration::from_secs(2);

/// The provider for trying things out. Its tokens say how it behaves:
///
/// | token | |
/// |---|---|
/// | `tok_ok` | takes the money |
/// | `tok_declined` | takes nothing and says so |
/// | `tok_slow` | takes the money after 2 s |
/// | `tok_silent` | takes the money and never says so |
#[derive(Debug, Clone)]
pub(crate) struct BuiltIn {
    store: Store,
}

impl BuiltIn {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The first of all charges and refunds of a key makes its row; that is what decides which came first.
    async fn take(&self, order: &Order) -> Result<State, Error> {
        let Order {
            key,
            amount,
            token: _,
        } = order;
        let mut tx = self.store.begin(Deadline::after(STORE_LIMIT)).await?;
        if !claim(&mut tx, key, State::Charged).await? {
            return before(&mut tx, key).await;
        }
        let sql = "INSERT INTO ledger (id, key, kind, currency, amount_minor, created_at)
            VALUES ($1, $2, 'charge', $3, $4, $5)";
        let insert = sqlx::query(sql)
            .bind(Uuid::new_v4().to_string())
            .bind(key.as_str());
        insert
            .bind(amount.currency())
            .bind(amount.minor())
            .bind(now())
            .execute(&mut *tx)
            .await?;
        crash_point("payments.take.before");
        tx.commit().await?;
        crash_point("payments.take.after");
        Ok(State::Charged)
    }

    async fn give_back(&self, key: &Key) -> Result<State, Error> {
        let mut tx = self.store.begin(Deadline::after(STORE_LIMIT)).await?;
        if claim(&mut tx, key, State::Voided).await? {
            tx.commit().await?;
            return Ok(State::Voided);
        }
        let sql = "UPDATE provider_key SET state = 'refunded' WHERE key = $1 AND state = 'charged'";
        let charged = sqlx::query(sql)
            .bind(key.as_str())
            .execute(&mut *tx)
            .await?
            .rows_affected()
            == 1;
        if !charged {
            return before(&mut tx, key).await;
        }
        let sql = "INSERT INTO ledger (id, key, kind, currency, amount_minor, created_at)
            SELECT $1, key, 'refund', currency, amount_minor, $3 FROM ledger WHERE key = $2 AND kind = 'charge'";
        let insert = sqlx::query(sql)
            .bind(Uuid::new_v4().to_string())
            .bind(key.as_str())
            .bind(now());
        insert.execute(&mut *tx).await?;
        crash_point("payments.give_back.before");
        tx.commit().await?;
        crash_point("payments.give_back.after");
        Ok(State::Refunded)
    }
}

impl Provider for BuiltIn {
    fn knows(&self, token: &str) -> bool {
        ["tok_ok", "tok_declined", "tok_slow", "tok_silent"].contains(&token)
    }

    async fn charge(&self, order: &Order) -> Result<State, Error> {
        match order.token.expose() {
            "tok_declined" => return Ok(State::Declined),
            "tok_slow" => tokio::time::sleep(SLOW).await,
            _ => {}
        }
        let outcome = self.take(order).await?;
        if order.token.expose() == "tok_silent" {
            return std::future::pending().await;
        }
        Ok(outcome)
    }

    async fn refund(&self, key: &Key) -> Result<State, Error> {
        self.give_back(key).await
    }

    async fn find(&self, key: &Key) -> Result<Option<State>, Error> {
        let mut tx = self.store.read(Deadline::after(STORE_LIMIT)).await?;
        state(&mut tx, key).await
    }
}

/// Makes the row of a key that has none. Waits for a transaction that is just doing so.
async fn claim(connection: &mut Connection, key: &Key, state: State) -> Result<bool, Error> {
    let sql = "INSERT INTO provider_key (key, state) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    let insert = sqlx::query(sql).bind(key.as_str()).bind(state.as_str());
    Ok(insert.execute(connection).await?.rows_affected() == 1)
}

/// What became of a key that has its row already.
async fn before(connection: &mut Connection, key: &Key) -> Result<State, Error> {
    state(connection, key)
        .await?
        .ok_or_else(|| Error::UnknownState("none".to_owned()))
}

async fn state(connection: &mut Connection, key: &Key) -> Result<Option<State>, Error> {
    let sql = "SELECT state FROM provider_key WHERE key = $1";
    let Some(row) = sqlx::query(sql)
        .bind(key.as_str())
        .fetch_optional(connection)
        .await?
    else {
        return Ok(None);
    };
    let text: String = row.try_get("state")?;
    State::parse(&text)
        .map(Some)
        .ok_or(Error::UnknownState(text))
}
