//! Stores for tests: a temporary SQLite file, and a throw-away PostgreSQL server that goes when its test process does.
//!
//! ```text
//! async fn a_row_is_found_again(store: Store) { … }
//!
//! mesh_store::on_each_database!("orders", sqlx::migrate!(), a_row_is_found_again);
//! ```

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use mesh_backing::{Kind, Options, Server};
use mesh_config::{Reader, Section};
use sqlx::migrate::Migrator;
use tempfile::TempDir;

use crate::{Store, StoreConfig};

/// A test per database and function: each gets an empty, prepared [`Store`].
#[macro_export]
macro_rules! on_each_database {
    ($service:literal, $migrator:expr, $($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let place = $crate::testing::sqlite();
                super::$test($crate::testing::prepared(place.url(), $service, $migrator).await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                let url = $crate::testing::postgres().await;
                super::$test($crate::testing::prepared(&url, $service, $migrator).await).await;
            })+
        }
    };
}

/// What a service makes of this `MESH_STORE_URL`.
///
/// # Panics
/// The URL is refused.
pub fn config(url: &str) -> StoreConfig {
    struct Given(StoreConfig);
    impl Section for Given {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self(StoreConfig::read(reader, "test"))
        }
    }
    let source = BTreeMap::from([("MESH_STORE_URL".to_owned(), url.to_owned())]);
    mesh_config::load::<Given>(&source)
        .expect("the URL of a test is good")
        .config
        .0
}

/// A store that is ready.
///
/// # Panics
/// It cannot be prepared.
pub async fn prepared(url: &str, service: &'static str, migrator: Migrator) -> Store {
    let store = Store::open(&config(url), service, migrator);
    store.prepare().await.expect("the store of a test works");
    store
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub struct Sqlite {
    url: String,
    _folder: TempDir,
}

impl Sqlite {
    /// For `MESH_STORE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A SQLite file that does not exist yet, in a folder of its own.
///
/// # Panics
/// There is no place for temporary files.
pub fn sqlite() -> Sqlite {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Sqlite {
        url: format!("sqlite://{}/made/store.db", folder.path().display()),
        _folder: folder,
    }
}

/// A new, empty database on a server that all tests of this process share; for `MESH_STORE_URL`.
///
/// # Panics
/// PostgreSQL is not installed, or does not start.
pub async fn postgres() -> String {
    // The one static: `initdb` takes a second, too long for each test. The server outlives no process.
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).database().await
}

/// A PostgreSQL server of one's own, to be stopped and started.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server on a free port with its data in a temporary folder; both go with this value or with the process.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        Self {
            server: Server::temporary(Kind::Postgres, Options::default())
                .unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error}")),
            databases: AtomicU32::new(0),
        }
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// The server is stopped.
    pub async fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        mesh_backing::postgres::database(&self.server, &name).expect("the server runs")
    }

    /// Stops the server as a power cut would.
    pub fn stop(&mut self) {
        self.server.kill();
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        self.server.start_again().expect("it starts as before");
    }
}
