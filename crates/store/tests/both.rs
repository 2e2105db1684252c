//! What holds on SQLite and on PostgreSQL alike.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use mesh_context::Deadline;
use mesh_store::{Error, Store, Tx};
use sqlx::{
    Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

mesh_store::on_each_database!(
    "orders",
    crate::migrator(),
    what_is_committed_is_read,
    what_is_dropped_is_rolled_back,
    a_statement_given_up_in_the_middle_harms_nobody,
    after_a_failed_statement_nothing_is_committed,
    a_reader_sees_one_snapshot_and_writes_nothing,
    writers_do_not_lose_updates,
    no_time_left_is_said_at_once,
    every_type_we_use_comes_back_as_it_went,
);

fn migration(version: i64, sql: &'static str) -> Migration {
    Migration::new(
        version,
        "test".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

fn migrator() -> Migrator {
    Migrator::with_migrations(vec![migration(
        1,
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL, note TEXT);
         INSERT INTO counter (name, value) VALUES ('a', 0)",
    )])
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

async fn add(tx: &mut Tx<'_>, pieces: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE counter SET value = value + $1 WHERE name = 'a'";
    sqlx::query(sql)
        .bind(pieces)
        .execute(&mut **tx)
        .await
        .map(drop)
}

async fn value(tx: &mut Tx<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT value FROM counter WHERE name = 'a'")
        .fetch_one(&mut **tx)
        .await?
        .try_get(0)
}

async fn read_value(store: &Store) -> i64 {
    let mut tx = store.read(soon()).await.unwrap();
    value(&mut tx).await.unwrap()
}

async fn what_is_committed_is_read(store: Store) {
    let mut tx = store.begin(soon()).await.unwrap();
    add(&mut tx, 5).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(read_value(&store).await, 5);
}

async fn what_is_dropped_is_rolled_back(store: Store) {
    for _ in 0..20 {
        let mut tx = store.begin(soon()).await.unwrap();
        add(&mut tx, 5).await.unwrap();
        drop(tx);
    }
    let mut tx = store.begin(soon()).await.unwrap();
    assert_eq!(value(&mut tx).await.unwrap(), 0);
}

async fn a_statement_given_up_in_the_middle_harms_nobody(store: Store) {
    for micros in (0..2_000).step_by(50) {
        let mut tx = store.begin(soon()).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_micros(micros), async {
            for _ in 0..50 {
                add(&mut tx, 1).await.unwrap();
            }
        })
        .await;
    }
    // As when a handler is dropped while it waits for BEGIN.
    for micros in (0..1_000).step_by(50) {
        let _ = tokio::time::timeout(Duration::from_micros(micros), store.begin(soon())).await;
    }
    let mut tx = store.begin(soon()).await.unwrap();
    add(&mut tx, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(read_value(&store).await, 1);
}

async fn after_a_failed_statement_nothing_is_committed(store: Store) {
    let mut tx = store.begin(soon()).await.unwrap();
    add(&mut tx, 5).await.unwrap();
    let insert = "INSERT INTO counter (name, value) VALUES ('a', 1)";
    let error = Error::from(sqlx::query(insert).execute(&mut *tx).await.unwrap_err());
    assert!(error.is_unique_violation(), "{error}");
    assert!(matches!(tx.commit().await, Err(Error::Failed { .. })));
    assert_eq!(read_value(&store).await, 0);
}

async fn a_reader_sees_one_snapshot_and_writes_nothing(store: Store) {
    let mut reader = store.read(soon()).await.unwrap();
    assert_eq!(value(&mut reader).await.unwrap(), 0);
    let mut writer = store.begin(soon()).await.unwrap();
    add(&mut writer, 5).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(value(&mut reader).await.unwrap(), 0);
    assert!(add(&mut reader, 1).await.is_err());
    drop(reader);
    assert_eq!(read_value(&store).await, 5);
}

async fn writers_do_not_lose_updates(store: Store) {
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        writers.spawn(async move {
            let mut tx = store.begin(soon()).await.unwrap();
            add(&mut tx, 1).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(read_value(&store).await, 100);
}

async fn no_time_left_is_said_at_once(store: Store) {
    let passed = Deadline::after(Duration::ZERO);
    assert!(matches!(
        store.begin(passed).await,
        Err(Error::DeadlineExceeded)
    ));
    assert!(matches!(
        store.read(passed).await,
        Err(Error::DeadlineExceeded)
    ));

    // Held by another, to the end of the request.
    let holder = hold(&store).await;
    let error = update_within(&store, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded), "{error}");
    drop(holder);
    update_within(&store, Duration::from_secs(20))
        .await
        .unwrap();
}

async fn hold(store: &Store) -> Tx<'_> {
    let mut tx = store.begin(soon()).await.unwrap();
    add(&mut tx, 5).await.unwrap();
    tx
}

async fn update_within(store: &Store, time: Duration) -> Result<(), Error> {
    let mut tx = store.begin(Deadline::after(time)).await?;
    add(&mut tx, 1).await?;
    tx.commit().await
}

async fn every_type_we_use_comes_back_as_it_went(store: Store) {
    let mut tx = store.begin(soon()).await.unwrap();
    let sql = "INSERT INTO counter (name, value, note) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING value, note";
    for (name, number, note) in [
        ("n", i64::MAX, Some("ü\u{1F600}'\"")),
        ("m", i64::MIN, None),
        ("o", 7, Some("")),
    ] {
        let row = sqlx::query(sql)
            .bind(name)
            .bind(number)
            .bind(note)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("value"), number);
        assert_eq!(row.get::<Option<String>, _>("note").as_deref(), note);
    }
    let again = sqlx::query(sql)
        .bind("n")
        .bind(1_i64)
        .bind(None::<String>)
        .fetch_optional(&mut *tx)
        .await
        .unwrap();
    assert!(
        again.is_none(),
        "nothing is returned for what is there already"
    );
    let sums = "SELECT COUNT(*), CAST(SUM(value) AS BIGINT), MAX(value), COALESCE(MAX(note), '') FROM counter WHERE value < 9";
    let row = sqlx::query(sums).fetch_one(&mut *tx).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(2)), (3, 7));
}
