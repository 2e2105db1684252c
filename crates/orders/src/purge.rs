//! Forgets what nobody asks for any more: answers under old keys, and messages that the queue has had for long.

use std::time::Duration;

use mesh_chassis::OnExit;
use mesh_context::Deadline;
use tokio::time::sleep;

use crate::{clock::Timestamp, error::Result, service::Service, store::OrderStore};

/// Keys are kept for so long at least; published messages, for people who look into what happened, as long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const INTERVAL: Duration = Duration::from_secs(600);
/// For one transaction.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// Every replica does it; what another has forgotten is not found.
pub(crate) fn start(service: &Service) {
    let (store, clock) = (service.store.clone(), service.clock.clone());
    service.tasks.spawn("purge", OnExit::Ignore, async move {
        store.prepared().await;
        loop {
            let before = clock.now().minus(KEPT);
            if let Err(error) = purge(&store, before).await {
                tracing::warn!(%error, "what is old stays for now");
            }
            sleep(INTERVAL).await;
        }
    });
}

/// In small transactions: nobody waits long for one.
async fn purge(store: &OrderStore, before: Timestamp) -> Result<()> {
    let limit = || Deadline::after(STORE_LIMIT);
    while store.purge_keys(before, limit()).await? {}
    while store.purge_messages(before, limit()).await? {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use mesh_store::Store;
    use sqlx::Row as _;

    use super::*;

    mesh_store::on_each_database!(
        "orders",
        crate::MIGRATIONS,
        what_was_published_long_ago_is_forgotten_and_nothing_else,
    );

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    /// So many messages, recorded at 1.
    async fn record(store: &Store, name: &str, count: i64, published: Option<i64>) {
        let mut tx = store.begin(soon()).await.unwrap();
        sqlx::query(
            "WITH RECURSIVE numbers (n) AS \
             (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2) INSERT INTO outbox \
             (id, type, order_id, payload, trace_headers, created_at, published_at) \
             SELECT $1 || n, 'order.confirmed', 'one', '{}', '{}', 1, $3 FROM numbers",
        )
        .bind(name)
        .bind(count)
        .bind(published)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    async fn what_was_published_long_ago_is_forgotten_and_nothing_else(store: Store) {
        // More than one transaction takes.
        record(&store, "old", 1_100, Some(9)).await;
        record(&store, "new", 2, Some(10)).await;
        record(&store, "waiting", 2, None).await;
        let orders = OrderStore::new(store.clone());
        purge(&orders, Timestamp(10)).await.unwrap();
        let mut tx = store.read(soon()).await.unwrap();
        let sql = "SELECT id FROM outbox ORDER BY id";
        let left = sqlx::query(sql).fetch_all(&mut *tx).await.unwrap();
        let left: Vec<String> = left.iter().map(|row| row.try_get(0).unwrap()).collect();
        assert_eq!(left, ["new1", "new2", "waiting1", "waiting2"]);
    }
}
