//! Stores for tests: a temporary SQLite file, and a throw-away PostgreSQL server that goes when its test process does.
//!
//! ```text
//! async fn a_row_is_found_again(store: Store) { … }
//!
//! mesh_store::on_each_database!("orders", sqlx::migrate!(), a_row_is_found_again);
//! ```

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use mesh_config::{Reader, Section};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, migrate::Migrator};
use tempfile::TempDir;

use crate::{Store, StoreConfig};

const SCRIPT: &str = include_str!("testing/postgres.sh");
/// PostgreSQL refuses to run as root.
const NOT_AS_ROOT: &str = r#"[ "$(id -u)" = 0 ] || exec sh -c "$1" sh "$2"; exec runuser -u postgres -- sh -c "$1" sh "$2""#;

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
    // The one static: `initdb` takes a second, too long for each test. The server outlives no process: its watcher reads
    // our pipe to the end.
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).database().await
}

/// A PostgreSQL server of one's own, to be stopped and started.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    databases: AtomicU32,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    watcher: Child,
}

impl Postgres {
    /// Starts a server on a free port with its data in a temporary folder; both go with this value or with the process.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        // Someone else may take the port before the server does.
        let mut last = String::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(server) => return server,
                Err(problem) => last = problem,
            }
        }
        panic!("no PostgreSQL for the tests: {last}");
    }

    fn try_start() -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|e| e.to_string())?
            .port();
        let mut watcher = Command::new("sh")
            .args(["-c", NOT_AS_ROOT, "sh", SCRIPT, &port.to_string()])
            .current_dir("/")
            // Ctrl-C on a test run is for the tests; the watcher cleans up after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let commands = watcher.stdin.take().expect("piped above");
        let answers = BufReader::new(watcher.stdout.take().expect("piped above"));
        let mut server = Self {
            port,
            databases: AtomicU32::new(0),
            commands,
            answers,
            watcher,
        };
        server.expect("started")?;
        Ok(server)
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// The server is stopped.
    pub async fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("the server runs");
        let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(sql)
            .execute(&mut connection)
            .await
            .expect("a database of that name is new");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:unused@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Stops the server as a power cut would.
    ///
    /// # Panics
    /// It does not obey.
    pub fn stop(&mut self) {
        self.command("stop", "stopped");
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// It does not obey.
    pub fn start_again(&mut self) {
        self.command("start", "started");
    }

    fn command(&mut self, command: &str, answer: &str) {
        writeln!(self.commands, "{command}").expect("the watcher reads until we end");
        self.expect(answer).expect("the server obeys");
    }

    /// Reads what the watcher says up to `answer`.
    fn expect(&mut self, answer: &str) -> Result<(), String> {
        let mut said = String::new();
        loop {
            let before = said.len();
            match self.answers.read_line(&mut said) {
                Ok(0) | Err(_) => return Err(said),
                Ok(_) if said[before..].trim_end() == answer => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "exit" rather than the end of the pipe, which stays open as long as this value's field does.
        let _ = writeln!(self.commands, "exit");
        let _ = self.watcher.wait();
    }
}
