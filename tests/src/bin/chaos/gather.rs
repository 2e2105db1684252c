//! The facts, from the stores and the queue.

use anyhow::Context as _;
use mesh_messaging::DeadLetter;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgRow};

use crate::{
    facts::{Facts, Key, Lines, Message, Movement, Order, Product, Reservation},
    faults::again,
    stage::Stage,
    workload::Customer,
};

/// What is left to be done, for whoever waits until nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Left(Vec<(&'static str, i64)>);

/// Each counts what has to be nought.
const LEFT: [(&str, &str); 6] = [
    (
        "pending",
        "SELECT COUNT(*) FROM orders.orders WHERE status = 'pending'",
    ),
    (
        "without a final answer",
        "SELECT COUNT(*) FROM orders.idempotency_keys WHERE state <> 'final'",
    ),
    (
        "to be released, refunded or cancelled",
        "SELECT COUNT(*) FROM orders.orders WHERE \
         COALESCE(release_due_at, refund_due_at, cancel_requested_at) IS NOT NULL",
    ),
    (
        "unpublished",
        "SELECT COUNT(*) FROM orders.outbox WHERE published_at IS NULL",
    ),
    (
        "to be fulfilled",
        "SELECT COUNT(*) FROM orders.orders WHERE status = 'confirmed'",
    ),
    (
        "reserved",
        "SELECT COUNT(*) FROM inventory.reservation WHERE state = 'reserved'",
    ),
];

impl Left {
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.iter().all(|(_, count)| *count == 0)
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some = self.0.iter().filter(|(_, count)| *count != 0);
        let some: Vec<String> = some
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        f.write_str(&some.join(", "))
    }
}

impl Stage {
    /// What there is left to do now.
    pub(crate) async fn left(&self, poison: &[String]) -> anyhow::Result<Left> {
        let mut store = self.store().await?;
        let mut left = Vec::new();
        for (what, sql) in LEFT {
            let count = sqlx::query_scalar(sql).fetch_one(&mut store).await?;
            left.push((what, count));
        }
        let depth = self.queue.queue.depth().await?;
        left.push(("in the queue", i64::try_from(depth.ready)?));
        let mut left = Left(left);
        if left.is_nothing() {
            // What a worker has in hand is neither in the queue nor a dead letter yet.
            let dead = self.dead().await?;
            let missing = poison.iter().filter(|body| !dead.contains(body));
            let missing = i64::try_from(missing.count())?;
            left.0.push(("poison not yet dead letters", missing));
        }
        Ok(left)
    }

    /// Ten minutes pass for the orders that nobody asks after any more: orders gives up then.
    pub(crate) async fn ten_minutes_pass(&self) -> anyhow::Result<u64> {
        let sql = "UPDATE orders.orders SET created_at = created_at - 600000000 \
                   WHERE status = 'pending'";
        let mut store = self.store().await?;
        Ok(sqlx::query(sql).execute(&mut store).await?.rows_affected())
    }

    /// All but what the customers say.
    pub(crate) async fn gather(&self) -> anyhow::Result<Facts> {
        let store = &mut self.store().await?;
        let mut reservations: Vec<Reservation> = rows(
            store,
            "SELECT r.order_id, r.state, r.committed_by, (SELECT COALESCE(\
             json_agg(json_build_object('sku', l.sku, 'quantity', l.quantity)), '[]')::text \
             FROM inventory.reservation_line l WHERE l.order_id = r.order_id) AS lines \
             FROM inventory.reservation r",
            reservation,
        )
        .await?;
        reservations.sort_by(|one, other| one.order.cmp(&other.order));
        Ok(Facts {
            orders: rows(store, "SELECT * FROM orders.orders", order).await?,
            keys: rows(store, "SELECT * FROM orders.idempotency_keys", key).await?,
            outbox: rows(store, "SELECT * FROM orders.outbox", message).await?,
            ledger: rows(store, "SELECT * FROM payments.ledger", movement).await?,
            reservations,
            products: rows(store, "SELECT * FROM inventory.product", product).await?,
            queued: again(|| async { Ok(self.queue.queue.depth().await?) })
                .await?
                .ready,
            dead: again(|| self.dead()).await?,
            ..Facts::default()
        })
    }

    /// Bodies of the dead letters.
    async fn dead(&self) -> anyhow::Result<Vec<String>> {
        let dead = self.queue.queue.dead_letters().await?.into_iter();
        let body = |letter: DeadLetter| String::from_utf8_lossy(&letter.body).into_owned();
        Ok(dead.map(body).collect())
    }

    async fn store(&self) -> anyhow::Result<PgConnection> {
        let connection = PgConnection::connect(self.url("postgres")).await;
        connection.context("the store is away")
    }
}

async fn rows<T>(
    store: &mut PgConnection,
    sql: &'static str,
    read: fn(&PgRow) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let rows = sqlx::query(sql).fetch_all(store).await?;
    rows.iter().map(read).collect()
}

fn order(row: &PgRow) -> anyhow::Result<Order> {
    let due = |(column, what)| {
        let due = row.try_get::<Option<i64>, _>(column);
        due.map(|due| due.map(|_| what)).transpose()
    };
    let dues = [
        ("release_due_at", "release"),
        ("refund_due_at", "refund"),
        ("cancel_requested_at", "cancel"),
    ];
    let headers: Value = serde_json::from_str(row.try_get("trace_headers")?)?;
    let trace = headers["traceparent"]
        .as_str()
        .and_then(|header| header.split('-').nth(1));
    Ok(Order {
        id: row.try_get("id")?,
        status: row.try_get("status")?,
        step: row.try_get("step")?,
        visible: row.try_get::<i64, _>("visible")? != 0,
        lines: lines(row.try_get("items")?)?,
        currency: row.try_get("currency")?,
        total: row.try_get("total")?,
        charge_key: row.try_get("charge_key")?,
        customer: trace.and_then(Customer::of_trace_id),
        due: dues.into_iter().filter_map(due).collect::<Result<_, _>>()?,
        fulfilled_by: row.try_get("fulfilled_by")?,
    })
}

/// `[{"sku","quantity",…}]`.
fn lines(json: &str) -> anyhow::Result<Lines> {
    let items: Vec<Value> = serde_json::from_str(json)?;
    let line = |item: &Value| {
        let (sku, quantity) = (item["sku"].as_str(), item["quantity"].as_i64());
        Some((sku?.to_owned(), quantity?))
    };
    let lines: Option<Lines> = items.iter().map(line).collect();
    lines.with_context(|| format!("no lines of an order: {json}"))
}

fn key(row: &PgRow) -> anyhow::Result<Key> {
    Ok(Key {
        key: row.try_get("key")?,
        order: row.try_get("order_id")?,
        is_final: row.try_get::<&str, _>("state")? == "final",
    })
}

fn message(row: &PgRow) -> anyhow::Result<Message> {
    Ok(Message {
        id: row.try_get("id")?,
        order: row.try_get("order_id")?,
        published: row.try_get::<Option<i64>, _>("published_at")?.is_some(),
    })
}

fn movement(row: &PgRow) -> anyhow::Result<Movement> {
    Ok(Movement {
        key: row.try_get("key")?,
        is_refund: row.try_get::<&str, _>("kind")? == "refund",
        currency: row.try_get("currency")?,
        amount: row.try_get("amount_minor")?,
    })
}

fn reservation(row: &PgRow) -> anyhow::Result<Reservation> {
    Ok(Reservation {
        order: row.try_get("order_id")?,
        state: row.try_get("state")?,
        committed_by: row.try_get("committed_by")?,
        lines: lines(row.try_get("lines")?)?,
    })
}

fn product(row: &PgRow) -> anyhow::Result<Product> {
    Ok(Product {
        sku: row.try_get("sku")?,
        available: row.try_get("available")?,
    })
}
