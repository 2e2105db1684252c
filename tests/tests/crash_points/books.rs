//! What the stores say of an order, all of them together.

use std::path::Path;

use mesh_tests::patiently;
use sqlx::{
    AnyConnection, AssertSqlSafe, Connection as _, Executor as _, any::install_default_drivers,
};
use tokio::sync::Mutex;

use crate::story::{LIMIT, PAUSE};

/// The order of a key, and what everybody has recorded of it.
const ENTRY: &str = "SELECT o.status,
    (SELECT COUNT(*) FROM ledger l WHERE l.key = o.charge_key AND l.kind = 'charge'),
    (SELECT COUNT(*) FROM ledger l WHERE l.key = o.charge_key AND l.kind = 'refund'),
    (SELECT r.state FROM reservation r WHERE r.order_id = o.id),
    (SELECT COUNT(*) FROM outbox m WHERE m.order_id = o.id),
    (SELECT COUNT(*) FROM outbox m WHERE m.order_id = o.id AND m.published_at IS NULL),
    (SELECT COUNT(*) FROM reservation r JOIN outbox m ON m.id = r.committed_by
        WHERE r.order_id = o.id AND m.order_id = o.id AND o.fulfilled_by = m.id),
    (SELECT COUNT(*) FROM idempotency_keys k WHERE k.order_id = o.id AND k.state <> 'final')
        + CASE WHEN o.release_due_at IS NULL THEN 0 ELSE 1 END
        + CASE WHEN o.refund_due_at IS NULL THEN 0 ELSE 1 END
        + CASE WHEN o.cancel_requested_at IS NULL THEN 0 ELSE 1 END
    FROM orders o WHERE o.id = (SELECT order_id FROM idempotency_keys WHERE key = $1)";

/// How an order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Fulfilled,
    Failed,
    Cancelled,
}

/// What is recorded of an order: its status; charges, refunds; the reservation; messages, those that are not published, those
/// for which it was sold and fulfilled; what is left to do.
type Entry = (String, i64, i64, String, i64, i64, i64, i64);

/// A connection to all the stores of a mesh.
pub(crate) struct Books {
    stores: Mutex<AnyConnection>,
    /// The embedded one. Of a broker the worker asks when nobody has anything in hand.
    has_queue: bool,
}

impl End {
    pub(crate) fn is_sold(self) -> bool {
        self == Self::Fulfilled
    }

    fn entry(self) -> Entry {
        let (status, charges, refunds, reservation, messages, sold) = match self {
            Self::Fulfilled => ("fulfilled", 1, 0, "committed", 1, 1),
            Self::Failed => ("failed", 0, 0, "released", 0, 0),
            Self::Cancelled => ("cancelled", 1, 1, "released", 1, 0),
        };
        let [status, reservation] = [status, reservation].map(str::to_owned);
        (status, charges, refunds, reservation, messages, 0, sold, 0)
    }
}

impl Books {
    /// Those at a URL of PostgreSQL, or the files in a folder; and the queue, where that is a file.
    pub(crate) async fn open(store: Option<&str>, folder: &Path, queue: &str) -> Self {
        install_default_drivers();
        let file = |name: &str| folder.join(format!(".mesh/{name}.db"));
        // No table is in two of them.
        let (url, together) = match store {
            Some(url) => (
                url.to_owned(),
                "SET search_path TO orders, inventory, payments".to_owned(),
            ),
            None => (
                format!("sqlite://{}", file("orders").display()),
                format!(
                    "ATTACH '{}' AS inventory; ATTACH '{}' AS payments; ATTACH '{}' AS queue",
                    file("inventory").display(),
                    file("payments").display(),
                    queue.trim_start_matches("sqlite://"),
                ),
            ),
        };
        let mut connection = AnyConnection::connect(&url).await.expect("a database");
        let attached = connection.execute(AssertSqlSafe(together)).await;
        attached.expect("the stores are there");
        Self {
            stores: Mutex::new(connection),
            has_queue: store.is_none(),
        }
    }

    /// Waits until all is done for the order of a key, and insists that it ended so.
    pub(crate) async fn at_rest(&self, key: &str, end: End) {
        let expected = end.entry();
        patiently(LIMIT, PAUSE, key, || async {
            let entry: Entry = sqlx::query_as(ENTRY)
                .bind(key.to_owned())
                .fetch_one(&mut *self.stores.lock().await)
                .await
                .map_err(|error| error.to_string())?;
            (entry == expected)
                .then_some(())
                .ok_or(format!("{entry:?}, not {expected:?}"))
        })
        .await;
        if self.has_queue {
            patiently(LIMIT, PAUSE, key, || async {
                let messages = self.count("SELECT COUNT(*) FROM messages").await;
                (messages == 0).then_some(()).ok_or(messages)
            })
            .await;
        }
    }

    /// Waits until the customer of a key would be told its end.
    pub(crate) async fn settled(&self, key: &str) {
        patiently(LIMIT, PAUSE, key, || async {
            let step = self.step(key).await;
            (step == "done").then_some(()).ok_or(step)
        })
        .await;
    }

    /// What comes next for the order of a key; nothing when there is no such order.
    pub(crate) async fn step(&self, key: &str) -> String {
        let sql = "SELECT step FROM orders WHERE cancel_requested_at IS NULL AND id = \
                   (SELECT order_id FROM idempotency_keys WHERE key = $1)";
        let mut stores = self.stores.lock().await;
        let step = sqlx::query_scalar(sql).bind(key.to_owned());
        let step = step.fetch_optional(&mut *stores).await;
        step.expect("the store is there").unwrap_or_default()
    }

    /// How many orders there are.
    pub(crate) async fn orders(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM orders").await
    }

    /// Pieces of a product that are neither reserved nor sold.
    pub(crate) async fn available(&self, sku: &str) -> i64 {
        let sql = "SELECT available FROM product WHERE sku = $1";
        let mut stores = self.stores.lock().await;
        let found = sqlx::query_scalar(sql).bind(sku.to_owned());
        found.fetch_one(&mut *stores).await.expect("a number")
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut stores = self.stores.lock().await;
        let count = sqlx::query_scalar(sql).fetch_one(&mut *stores).await;
        count.expect("a number")
    }
}
