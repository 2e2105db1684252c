//! How a store starts, and what it says while its database is away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use mesh_context::Deadline;
use mesh_store::{Error, Store, testing};
use sqlx::{
    Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

fn migration(version: i64, sql: &'static str) -> Migration {
    Migration::new(
        version,
        "test".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

/// Not repeatable: a second run of either fails.
fn migrator(versions: usize) -> Migrator {
    let mut all = vec![
        migration(
            1,
            "CREATE TABLE item (name TEXT PRIMARY KEY); INSERT INTO item VALUES ('a')",
        ),
        migration(2, "ALTER TABLE item ADD COLUMN size BIGINT"),
    ];
    all.truncate(versions);
    Migrator::with_migrations(all)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

async fn count(store: &Store) -> Result<i64, Error> {
    let mut tx = store.read(soon()).await?;
    Ok(sqlx::query("SELECT COUNT(*) FROM item")
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?)
}

async fn many_start_at_once(url: &str) {
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let store = Store::open(&testing::config(url), "orders", migrator(2));
        starts.spawn(async move {
            store.prepare().await.unwrap();
            count(&store).await.unwrap()
        });
    }
    assert_eq!(starts.join_all().await, [1; 6]);
}

#[tokio::test]
async fn many_may_start_at_once_on_sqlite() {
    many_start_at_once(testing::sqlite().url()).await;
}

#[tokio::test]
async fn many_may_start_at_once_on_postgres() {
    many_start_at_once(&testing::postgres().await).await;
}

async fn the_older_version_starts_after_the_newer(url: &str) {
    let newer = testing::prepared(url, "orders", migrator(2)).await;
    let older = testing::prepared(url, "orders", migrator(1)).await;
    assert_eq!(
        (count(&newer).await.unwrap(), count(&older).await.unwrap()),
        (1, 1)
    );
}

#[tokio::test]
async fn the_older_version_starts_after_the_newer_on_sqlite() {
    the_older_version_starts_after_the_newer(testing::sqlite().url()).await;
}

#[tokio::test]
async fn the_older_version_starts_after_the_newer_on_postgres() {
    the_older_version_starts_after_the_newer(&testing::postgres().await).await;
}

#[tokio::test]
async fn services_share_a_database_and_keep_apart() {
    let url = testing::postgres().await;
    let orders = testing::prepared(&url, "orders", migrator(2)).await;
    let payments = testing::prepared(&url, "payments", migrator(1)).await;
    let mut tx = orders.begin(soon()).await.unwrap();
    sqlx::query("INSERT INTO item VALUES ('b', 2)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        (
            count(&orders).await.unwrap(),
            count(&payments).await.unwrap()
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn a_store_that_was_never_prepared_is_unavailable() {
    let place = testing::sqlite();
    let store = Store::open(&testing::config(place.url()), "orders", migrator(1));
    assert!(matches!(
        store.begin(soon()).await,
        Err(Error::Unavailable { .. })
    ));
    store.prepare().await.unwrap();
    assert_eq!(count(&store).await.unwrap(), 1);
}

#[tokio::test]
async fn a_sqlite_file_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = testing::sqlite();
    let path = place.url().strip_prefix("sqlite://").unwrap();
    let store = testing::prepared(place.url(), "orders", migrator(1)).await;
    let _tx = store.begin(soon()).await.unwrap();
    for file in [
        path.to_owned(),
        format!("{path}-wal"),
        format!("{path}.lock"),
    ] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_store_comes_back_when_its_server_does() {
    let mut server = testing::Postgres::start();
    let url = server.database().await;
    server.stop();

    let store = Store::open(&testing::config(&url), "orders", migrator(1));
    assert!(matches!(
        store.prepare().await,
        Err(Error::Unavailable { .. })
    ));
    let ready = store.connect_until_ready();
    server.start_again();
    ready.await;
    assert_eq!(count(&store).await.unwrap(), 1);

    // Connections of before the restart are no trouble after it.
    let before: Vec<_> = [
        store.begin(soon()).await.unwrap(),
        store.begin(soon()).await.unwrap(),
    ]
    .into();
    for tx in before {
        tx.commit().await.unwrap();
    }
    server.stop();
    let asked = Instant::now();
    let error = count(&store).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(
        asked.elapsed() < Duration::from_millis(500),
        "said after {:?}",
        asked.elapsed()
    );
    server.start_again();
    assert_eq!(count(&store).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_costs_no_more_than_the_request_has() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "postgres://shop:hunter2@{}/shop",
        silent.local_addr().unwrap()
    );
    let store = Store::open(&testing::config(&url), "orders", migrator(1));
    let error = store.prepare().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
}

/// A way to `server` on which a connection may take its time: each says when it is there, and passes nothing before it may.
async fn slow_way(server: String, allowed: watch::Receiver<usize>) -> (String, JoinSet<()>) {
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = way.local_addr().unwrap().to_string();
    let mut passing = JoinSet::new();
    passing.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 1.. {
            let (mut near, _) = way.accept().await.unwrap();
            let (server, mut allowed) = (server.clone(), allowed.clone());
            connections.spawn(async move {
                let _ = allowed.wait_for(|allowed| *allowed >= number).await;
                let mut far = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, passing)
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_a_request_has_is_there_for_a_later_one() {
    let url = testing::postgres().await;
    let (head, database) = url.rsplit_once('/').unwrap();
    let (login, server) = head.rsplit_once('@').unwrap();
    let allow = watch::Sender::new(1);
    let (way, _passing) = slow_way(server.to_owned(), allow.subscribe()).await;
    let url = format!("{login}@{way}/{database}");
    // The first connection prepares, the second is slow, every other one is never made.
    let store = testing::prepared(&url, "orders", migrator(1)).await;
    let soon = || Deadline::after(Duration::from_millis(100));
    assert!(store.begin(soon()).await.is_err());
    allow.send_replace(2);
    let served = timeout(Duration::from_secs(20), async {
        while store.begin(soon()).await.is_err() {}
    });
    assert!(served.await.is_ok(), "the second connection was given up");
}

/// As a sidecar does while it has no server to connect to.
#[tokio::test]
async fn a_connection_that_is_closed_at_once_means_that_the_server_is_away() {
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://shop@{}/shop", closing.local_addr().unwrap());
    let store = Store::open(&testing::config(&url), "orders", migrator(1));
    let close = async {
        loop {
            drop(closing.accept().await);
        }
    };
    tokio::select! {
        prepared = store.prepare() => {
            let error = prepared.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
        () = close => {}
    }
}

#[tokio::test]
async fn statements_given_up_while_they_wait_free_their_connections_at_once() {
    let store = testing::prepared(&testing::postgres().await, "orders", migrator(2)).await;
    let update = "UPDATE item SET size = 1";
    let mut holder = store.begin(soon()).await.unwrap();
    sqlx::query(update).execute(&mut *holder).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..7 {
        let mut tx = store.begin(soon()).await.unwrap();
        let given_up = timeout(
            Duration::from_millis(20),
            sqlx::query(update).execute(&mut *tx),
        )
        .await;
        assert!(given_up.is_err(), "the row is held");
        waiting.push(tx);
    }
    drop(waiting);
    let mut again = Vec::new();
    for _ in 0..7 {
        again.push(
            store
                .begin(Deadline::after(Duration::from_millis(500)))
                .await
                .unwrap(),
        );
    }
}
