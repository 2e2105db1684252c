//! What an operator can set about the gateway, besides what every process has.

use std::fmt;

use mesh_client::DownstreamConfig;
use mesh_config::{Reader, Section};
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

use crate::peers::{INVENTORY, ORDERS};

const SESSION_URL: &str = "MESH_SESSION_URL";

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where orders is.
    pub orders: DownstreamConfig,
    /// Where inventory is.
    pub inventory: DownstreamConfig,
    /// Where sessions are kept.
    pub sessions: SessionStore,
}

/// Where sessions are kept.
#[derive(Debug, Clone)]
pub enum SessionStore {
    /// In this process.
    Memory,
    /// Where all gateways find them.
    Redis(RedisServer),
}

/// A Redis, shown as `host:port`.
#[derive(Debug, Clone)]
pub struct RedisServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Holds a password, which it does not show.
    pub(crate) login: RedisConnectionInfo,
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            orders: DownstreamConfig::read(reader, &ORDERS),
            inventory: DownstreamConfig::read(reader, &INVENTORY),
            sessions: session_store(reader),
        }
    }
}

fn session_store(reader: &mut Reader<'_>) -> SessionStore {
    let url = reader.secret_url(SESSION_URL, "memory:", &["memory", "redis"]);
    parse(url.expose()).unwrap_or_else(|problem| {
        if let Some(reason) = problem {
            // What is wrong may be the password, so none of the URL is shown.
            reader.reject(SESSION_URL, "***", reason);
        }
        SessionStore::Memory
    })
}

/// The store; or what is wrong with a URL of a known scheme; or nothing, when the scheme was refused already.
fn parse(url: &str) -> Result<SessionStore, Option<&'static str>> {
    const FORM: &str =
        "must be redis://<user>:<password>@<host>:<port>/<database>, or a part of it";
    match url.split_once(':') {
        Some(("memory", "")) => Ok(SessionStore::Memory),
        Some(("memory", _)) => Err(Some("must be memory: and nothing else")),
        Some(("redis", _)) => redis_server(url).map(SessionStore::Redis).ok_or(Some(FORM)),
        _ => Err(None),
    }
}

fn redis_server(url: &str) -> Option<RedisServer> {
    if !url.starts_with("redis://") || url.contains(['?', '#']) {
        return None;
    }
    let info = url.into_connection_info().ok()?;
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return None;
    };
    let login = info.redis_settings().clone();
    (!host.is_empty() && login.db() >= 0).then(|| RedisServer {
        host: host.clone(),
        port: *port,
        // Redis knows that command from 7.2 on only.
        login: login.set_skip_set_lib_name(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(url: &str) -> Result<SessionStore, String> {
        let source = BTreeMap::from([(SESSION_URL.to_owned(), url.to_owned())]);
        mesh_config::load::<Config>(&source)
            .map(|loaded| loaded.config.sessions)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn sessions_are_in_memory_or_in_a_redis() {
        assert!(matches!(read("memory:"), Ok(SessionStore::Memory)));
        for (url, shown, user, password, database) in [
            ("redis://redis", "redis:6379", None, None, 0),
            ("redis://redis:1/", "redis:1", None, None, 0),
            ("redis://[::1]:1/2", "::1:1", None, None, 2),
            ("redis://:p%40ss@r", "r:6379", None, Some("p@ss"), 0),
            ("redis://u:pass@r/1", "r:6379", Some("u"), Some("pass"), 1),
        ] {
            let Ok(SessionStore::Redis(server)) = read(url) else {
                panic!("{url} was refused");
            };
            assert_eq!(server.to_string(), shown);
            let login = &server.login;
            assert_eq!(
                (login.username(), login.password()),
                (user, password),
                "{url}"
            );
            assert_eq!(login.db(), database, "{url}");
            assert!(!format!("{server:?}").contains("pass\""), "{server:?}");
        }
    }

    #[test]
    fn what_is_no_store_of_sessions_is_refused_without_showing_it() {
        for url in [
            "memory:x",
            "redis:hunter2",
            "redis:///1",
            "redis://u:hunter2@redis:port",
            "redis://u:hunter2@redis/-1",
            "redis://u:hunter2@redis/shop",
            "redis://u:hunter2@redis?protocol=resp3",
            "redis://u:hunter2@redis#insecure",
        ] {
            let problems = read(url).expect_err(url);
            assert_eq!(problems.lines().count(), 1, "{problems}");
            assert!(
                problems.starts_with("MESH_SESSION_URL=\"***\": must be "),
                "{problems}"
            );
        }
        for url in ["memory", "http://u:hunter2@x", "rediss://u:hunter2@redis"] {
            let problem = read(url).expect_err(url);
            assert!(
                problem.contains("must be a URL that starts with memory: or redis:"),
                "{problem}"
            );
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
