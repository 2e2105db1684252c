//! What an operator can set about the gateway, besides what every process has.

use mesh_client::DownstreamConfig;
use mesh_config::{Reader, Section};

use crate::peers::{INVENTORY, ORDERS};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStore {
    /// In this process.
    Memory,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            orders: DownstreamConfig::read(reader, &ORDERS),
            inventory: DownstreamConfig::read(reader, &INVENTORY),
            sessions: reader
                .parsed("MESH_SESSION_URL", "memory:", session_store)
                .unwrap_or(SessionStore::Memory),
        }
    }
}

fn session_store(url: &str) -> Result<SessionStore, String> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(SessionStore::Memory),
        Some(("redis" | "rediss", _)) => {
            Err("sessions in Redis are not supported yet; use memory:".to_owned())
        }
        _ => Err("expected memory:".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(url: &str) -> Result<SessionStore, String> {
        let source = BTreeMap::from([("MESH_SESSION_URL".to_owned(), url.to_owned())]);
        mesh_config::load::<Config>(&source)
            .map(|loaded| loaded.config.sessions)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn only_memory_keeps_sessions_and_a_password_is_not_repeated() {
        assert_eq!(read("memory:"), Ok(SessionStore::Memory));
        for url in [
            "redis://u:hunter2@redis:6379",
            "memory",
            "memory:x",
            "http://x",
        ] {
            let error = read(url).unwrap_err();
            assert!(
                error.contains("MESH_SESSION_URL") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
