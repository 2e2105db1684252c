//! The products' table: the catalogue and how many pieces are left.

use mesh_store::Connection;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use crate::{
    catalogue::{Price, Product, SEEDS, Seed},
    error::Error,
};

/// Puts into the catalogue what is not there, with so many pieces of each.
pub(super) async fn add_missing(connection: &mut Connection, pieces: u64) -> Result<(), Error> {
    let sql = "INSERT INTO product (sku, name, description, currency, amount_minor, available)
        VALUES ($1, $2, $3, 'EUR', $4, $5) ON CONFLICT (sku) DO NOTHING";
    let pieces = i64::try_from(pieces).unwrap_or(i64::MAX);
    for Seed {
        sku,
        name,
        description,
        cents,
    } in SEEDS
    {
        let insert = sqlx::query(sql)
            .bind(sku)
            .bind(name)
            .bind(description)
            .bind(cents)
            .bind(pieces);
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Up to `count` products that come after a sku.
pub(super) async fn after(
    connection: &mut Connection,
    sku: &str,
    count: i64,
) -> Result<Vec<Product>, Error> {
    let sql = "SELECT sku, name, description, currency, amount_minor, available FROM product
        WHERE sku > $1 ORDER BY sku LIMIT $2";
    let rows = sqlx::query(sql)
        .bind(sku)
        .bind(count)
        .fetch_all(connection)
        .await?;
    rows.iter().map(product).collect()
}

/// Those of `skus` that exist.
pub(super) async fn find(
    connection: &mut Connection,
    skus: &[String],
) -> Result<Vec<Product>, Error> {
    let skus: Vec<_> = skus.iter().filter(|sku| may_exist(sku)).collect();
    if skus.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<_> = (1..=skus.len()).map(|i| format!("${i}")).collect();
    let sql = format!(
        "SELECT sku, name, description, currency, amount_minor, available FROM product
        WHERE sku IN ({}) ORDER BY sku",
        places.join(", ")
    );
    let query = skus
        .into_iter()
        .fold(sqlx::query(AssertSqlSafe(sql)), |query, sku| {
            query.bind(sku)
        });
    query
        .fetch_all(connection)
        .await?
        .iter()
        .map(product)
        .collect()
}

/// Takes pieces of a product if there are so many.
pub(super) async fn take(
    connection: &mut Connection,
    sku: &str,
    quantity: i64,
) -> Result<Option<Price>, Error> {
    if !may_exist(sku) {
        return Ok(None);
    }
    let sql = "UPDATE product SET available = available - $2 WHERE sku = $1 AND available >= $2
        RETURNING currency, amount_minor";
    let row = sqlx::query(sql)
        .bind(sku)
        .bind(quantity)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(price).transpose()
}

/// Puts pieces of a product back.
pub(super) async fn give_back(
    connection: &mut Connection,
    sku: &str,
    quantity: i64,
) -> Result<(), Error> {
    let sql = "UPDATE product SET available = available + $2 WHERE sku = $1";
    sqlx::query(sql)
        .bind(sku)
        .bind(quantity)
        .execute(connection)
        .await?;
    Ok(())
}

/// PostgreSQL refuses a text with a zero byte, so nothing has such a name.
fn may_exist(sku: &str) -> bool {
    !sku.contains('\0')
}

fn product(row: &AnyRow) -> Result<Product, Error> {
    Ok(Product {
        sku: row.try_get("sku")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: price(row)?,
        available: row.try_get("available")?,
    })
}

pub(super) fn price(row: &AnyRow) -> Result<Price, Error> {
    Ok(Price {
        currency: row.try_get("currency")?,
        amount_minor: row.try_get("amount_minor")?,
    })
}
