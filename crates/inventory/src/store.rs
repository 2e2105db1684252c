//! The stock in the store. Each call is one transaction.
//!
//! A transaction first claims the row of its order, then takes or gives stock in the order of the skus: all lock in the same
//! order, so none waits in a circle.

mod products;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_chassis::crash_point;
use mesh_context::Deadline;
use mesh_store::{Connection, Store};
use sqlx::Row as _;

use crate::{
    catalogue::{Price, Product},
    error::Error,
    reservation::{
        Invalid, Lines, MessageId, OrderId, State, commit_without_effect, may_reserve_again,
    },
};

use products::{give_back, price, take};

const SEED_LIMIT: Duration = Duration::from_secs(3);
const SEED_PAUSE: Duration = Duration::from_secs(1);

/// By sku.
pub(crate) type Prices = BTreeMap<String, Price>;

/// What a `Reserve` came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// All lines, at these prices by sku.
    Reserved(Prices),
    /// Nothing, for there are too few of these; the prices are of all lines.
    OutOfStock(Vec<String>, Prices),
    /// Nothing, for these do not exist.
    UnknownProduct(Vec<String>),
}

/// What a `Release` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Nothing is reserved, and nothing will be.
    Released,
    /// The pieces are sold.
    Committed,
}

/// The products and the reservations. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stock {
    store: Store,
}

impl Stock {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Ends when the store is there and holds the catalogue, with so many pieces of each product that was not in it.
    pub(crate) async fn fill_until_ready(&self, pieces: u64) {
        self.store.connect_until_ready().await;
        while let Err(error) = self.fill(pieces, Deadline::after(SEED_LIMIT)).await {
            tracing::warn!(%error, "the catalogue is not in the store, trying again in {SEED_PAUSE:?}");
            tokio::time::sleep(SEED_PAUSE).await;
        }
    }

    async fn fill(&self, pieces: u64, deadline: Deadline) -> Result<(), Error> {
        let mut tx = self.store.begin(deadline).await?;
        products::add_missing(&mut tx, pieces).await?;
        Ok(tx.commit().await?)
    }

    /// Up to `count` products that come after a sku, ordered by sku. Every sku comes after the empty one.
    pub(crate) async fn list(
        &self,
        after: &str,
        count: i64,
        deadline: Deadline,
    ) -> Result<Vec<Product>, Error> {
        let mut tx = self.store.read(deadline).await?;
        products::after(&mut tx, after, count).await
    }

    /// Those of `skus` that exist, ordered by sku.
    pub(crate) async fn get(
        &self,
        skus: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Product>, Error> {
        let mut tx = self.store.read(deadline).await?;
        products::find(&mut tx, skus).await
    }

    /// Sets aside all lines or none.
    pub(crate) async fn reserve(
        &self,
        order: &OrderId,
        lines: &Lines,
        deadline: Deadline,
    ) -> Result<Reserve, Error> {
        let mut tx = self.store.begin(deadline).await?;
        if !claim(&mut tx, order, State::Reserved).await? {
            return reserved_before(&mut tx, order, lines).await;
        }
        let mut prices = Prices::new();
        let mut missing = Vec::new();
        for (sku, quantity) in lines.iter() {
            match take(&mut tx, sku, quantity).await? {
                Some(price) => {
                    insert_line(&mut tx, order, sku, quantity, &price).await?;
                    prices.insert(sku.to_owned(), price);
                }
                None => missing.push(sku.to_owned()),
            }
        }
        if !missing.is_empty() {
            // What was taken comes back as the transaction is dropped.
            return why_missing(&mut tx, missing, prices).await;
        }
        crash_point("inventory.reserve.before");
        tx.commit().await?;
        crash_point("inventory.reserve.after");
        Ok(Reserve::Reserved(prices))
    }

    /// Sells what is reserved.
    pub(crate) async fn commit(
        &self,
        order: &OrderId,
        message: &MessageId,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let sql = "UPDATE reservation SET state = 'committed', committed_by = $2, updated_at = $3
            WHERE order_id = $1 AND state = 'reserved'";
        let mut tx = self.store.begin(deadline).await?;
        let update = sqlx::query(sql)
            .bind(order.as_str())
            .bind(message.as_str())
            .bind(now());
        if update.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(commit_without_effect(state(&mut tx, order).await?)?);
        }
        crash_point("inventory.commit.before");
        tx.commit().await?;
        crash_point("inventory.commit.after");
        Ok(())
    }

    /// Gives back what is reserved, and lets nothing be reserved any more.
    pub(crate) async fn release(
        &self,
        order: &OrderId,
        deadline: Deadline,
    ) -> Result<Release, Error> {
        let mut tx = self.store.begin(deadline).await?;
        if !claim(&mut tx, order, State::Released).await? {
            if !release_reserved(&mut tx, order).await? {
                let sold = state(&mut tx, order).await? == Some(State::Committed);
                return Ok(if sold {
                    Release::Committed
                } else {
                    Release::Released
                });
            }
            for (sku, quantity) in lines_of(&mut tx, order).await?.iter() {
                give_back(&mut tx, sku, quantity).await?;
            }
        }
        crash_point("inventory.release.before");
        tx.commit().await?;
        crash_point("inventory.release.after");
        Ok(Release::Released)
    }
}

/// Makes the row of an order that has none. Waits for a transaction that is just doing so.
async fn claim(connection: &mut Connection, order: &OrderId, state: State) -> Result<bool, Error> {
    let sql =
        "INSERT INTO reservation (order_id, state, created_at, updated_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (order_id) DO NOTHING";
    let insert = sqlx::query(sql)
        .bind(order.as_str())
        .bind(state.as_str())
        .bind(now());
    Ok(insert.execute(connection).await?.rows_affected() == 1)
}

async fn state(connection: &mut Connection, order: &OrderId) -> Result<Option<State>, Error> {
    let sql = "SELECT state FROM reservation WHERE order_id = $1";
    let Some(row) = sqlx::query(sql)
        .bind(order.as_str())
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

/// The answer to a `Reserve` of an order that has a row.
async fn reserved_before(
    connection: &mut Connection,
    order: &OrderId,
    lines: &Lines,
) -> Result<Reserve, Error> {
    state(connection, order)
        .await?
        .map_or(Ok(()), may_reserve_again)?;
    let recorded = lines_of(connection, order).await?;
    if recorded != *lines {
        return Err(Invalid::OtherLines.into());
    }
    let sql = "SELECT sku, currency, amount_minor FROM reservation_line WHERE order_id = $1";
    let rows = sqlx::query(sql)
        .bind(order.as_str())
        .fetch_all(connection)
        .await?;
    let prices = rows
        .iter()
        .map(|row| Ok((row.try_get("sku")?, price(row)?)));
    Ok(Reserve::Reserved(prices.collect::<Result<_, Error>>()?))
}

async fn insert_line(
    connection: &mut Connection,
    order: &OrderId,
    sku: &str,
    quantity: i64,
    price: &Price,
) -> Result<(), Error> {
    let sql = "INSERT INTO reservation_line (order_id, sku, quantity, currency, amount_minor)
        VALUES ($1, $2, $3, $4, $5)";
    let insert = sqlx::query(sql)
        .bind(order.as_str())
        .bind(sku)
        .bind(quantity);
    insert
        .bind(&price.currency)
        .bind(price.amount_minor)
        .execute(connection)
        .await?;
    Ok(())
}

async fn release_reserved(connection: &mut Connection, order: &OrderId) -> Result<bool, Error> {
    let sql = "UPDATE reservation SET state = 'released', updated_at = $2 WHERE order_id = $1 AND state = 'reserved'";
    let update = sqlx::query(sql).bind(order.as_str()).bind(now());
    Ok(update.execute(connection).await?.rows_affected() == 1)
}

/// What an order reserved.
async fn lines_of(connection: &mut Connection, order: &OrderId) -> Result<Lines, Error> {
    let sql = "SELECT sku, quantity FROM reservation_line WHERE order_id = $1";
    let rows = sqlx::query(sql)
        .bind(order.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("sku")?, row.try_get("quantity")?)))
        .collect()
}

/// Whether there are too few of `missing`, or whether some do not exist at all, which is worse. The `prices` are of the others.
async fn why_missing(
    connection: &mut Connection,
    missing: Vec<String>,
    mut prices: Prices,
) -> Result<Reserve, Error> {
    let known = products::find(connection, &missing).await?;
    prices.extend(
        known
            .into_iter()
            .map(|product| (product.sku, product.price)),
    );
    let unknown: Vec<_> = missing
        .iter()
        .filter(|sku| !prices.contains_key(*sku))
        .cloned()
        .collect();
    Ok(if unknown.is_empty() {
        Reserve::OutOfStock(missing, prices)
    } else {
        Reserve::UnknownProduct(unknown)
    })
}

/// For people who look into the store; nothing is decided by it.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
