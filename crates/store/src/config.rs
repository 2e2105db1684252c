//! Where the store is: one URL, checked before anything connects.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use mesh_config::Reader;
use sqlx::{any::AnyConnectOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

const VARIABLE: &str = "MESH_STORE_URL";

/// Where the store of one service is.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub(crate) location: Location,
}

#[derive(Clone)]
pub(crate) enum Location {
    /// A file, by its absolute path.
    Sqlite(PathBuf),
    /// A server. The options hold a password.
    Postgres(AnyConnectOptions),
}

impl StoreConfig {
    /// Reads `MESH_STORE_URL`: `sqlite://<path>`, by default `.mesh/<service>.db`, or `postgres://…`.
    pub fn read(reader: &mut Reader<'_>, service: &'static str) -> Self {
        let default = format!("sqlite://.mesh/{service}.db");
        let url = reader.secret_url(VARIABLE, &default, &["sqlite", "postgres"]);
        let location = parse(url.expose()).unwrap_or_else(|problem| {
            if let Some(reason) = problem {
                // What is wrong may be the password, so none of the URL is shown.
                reader.reject(VARIABLE, "***", reason);
            }
            Location::Sqlite(PathBuf::new())
        });
        Self { location }
    }

    /// The absolute path of the store that is a file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }
}

/// The location; or what is wrong with a URL of a known scheme; or nothing, when the scheme was refused already.
fn parse(url: &str) -> Result<Location, Option<String>> {
    match url.split_once(':') {
        Some(("sqlite", _)) => parse_sqlite(url).map_err(Some),
        Some(("postgres", _)) => parse_postgres(url).map_err(Some),
        _ => Err(None),
    }
}

fn parse_sqlite(url: &str) -> Result<Location, String> {
    const FORM: &str = "must be sqlite://<path of a file>, without parameters";
    let options: SqliteConnectOptions = url.parse().map_err(|_| FORM)?;
    let path = options.get_filename();
    let in_memory = url.contains(":memory:");
    if !url.starts_with("sqlite://")
        || url.contains('?')
        || in_memory
        || path.as_os_str().is_empty()
    {
        return Err(FORM.to_owned());
    }
    let path =
        std::path::absolute(path).map_err(|error| format!("has no absolute path: {error}"))?;
    Ok(Location::Sqlite(path))
}

fn parse_postgres(url: &str) -> Result<Location, String> {
    const FORM: &str = "must be postgres://<user>:<password>@<host>:<port>/<database>";
    if !url.starts_with("postgres://") {
        return Err(FORM.to_owned());
    }
    url.parse::<PgConnectOptions>().map_err(|_| FORM)?;
    url.parse()
        .map(Location::Postgres)
        .map_err(|_| FORM.to_owned())
}

impl Location {
    pub(crate) fn options(&self) -> AnyConnectOptions {
        match self {
            Self::Sqlite(path) => sqlite_options(path),
            Self::Postgres(options) => options.clone(),
        }
    }
}

fn sqlite_options(path: &Path) -> AnyConnectOptions {
    use sqlx::ConnectOptions as _;
    let url = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .to_url_lossy();
    AnyConnectOptions::from_url(&url).expect("sqlx reads the URL it has written")
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.debug_tuple("Postgres").field(&"***").finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(url: &str) -> Result<Location, String> {
        struct Section(StoreConfig);
        impl mesh_config::Section for Section {
            fn read(reader: &mut Reader<'_>) -> Self {
                Self(StoreConfig::read(reader, "orders"))
            }
        }
        let source = BTreeMap::from([(VARIABLE.to_owned(), url.to_owned())]);
        mesh_config::load::<Section>(&source)
            .map(|loaded| loaded.config.0.location)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_sqlite_path_may_be_relative_absolute_or_odd() {
        for (url, ends_with) in [
            ("sqlite://.mesh/orders.db", ".mesh/orders.db"),
            (
                "sqlite:///var/lib/shop/orders.db",
                "/var/lib/shop/orders.db",
            ),
            ("sqlite://my folder/a:b.db", "my folder/a:b.db"),
            ("sqlite:///tmp/a%20b.db", "/tmp/a b.db"),
        ] {
            let Ok(Location::Sqlite(path)) = read(url) else {
                panic!("{url} was refused");
            };
            assert!(
                path.is_absolute() && path.ends_with(ends_with),
                "{url} is {path:?}"
            );
            sqlite_options(&path);
        }
    }

    #[test]
    fn what_no_database_is_behind_is_refused_without_showing_it() {
        for url in [
            "sqlite://",
            "sqlite:orders.db",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://orders.db?mode=ro",
            "postgres:hunter2",
            "postgres://shop:hunter2@db:port/shop",
            "postgres://shop:hunter2@db/shop?sslmode=perhaps",
        ] {
            let problems = read(url).expect_err(url);
            assert_eq!(problems.lines().count(), 1, "{problems}");
            assert!(
                problems.starts_with("MESH_STORE_URL=\"***\": must be "),
                "{problems}"
            );
        }
        assert_eq!(
            read("mysql://shop:hunter2@db").unwrap_err().lines().count(),
            1
        );
    }

    #[test]
    fn the_password_of_a_postgres_url_is_never_shown() {
        let location =
            read("postgres://shop:hunter2@db:5432/shop?sslmode=require").expect("well formed");
        assert!(!format!("{:?}", StoreConfig { location }).contains("hunter2"));
    }
}
