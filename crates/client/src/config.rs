//! Settings of one peer: where it is and the longest any call to it may take.

use std::time::Duration;

use mesh_config::Reader;

use crate::Peer;

/// A connection that does not come about in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Of the requests a process works on at once (`MESH_CONCURRENCY_LIMIT`), this many in a hundred may wait for one peer, so
/// that a slow peer leaves room for requests that do not need it.
const BULKHEAD_PERCENT: u64 = 80;
/// The chassis's default of `MESH_CONCURRENCY_LIMIT`.
const CONCURRENCY_LIMIT: u64 = 256;

/// How to reach one peer.
#[derive(Debug, Clone)]
pub struct DownstreamConfig {
    /// `http://host:port`.
    pub url: http::Uri,
    /// Upper bound on the cap of every call.
    pub timeout: Duration,
    /// The longest a connection attempt takes.
    pub connect_timeout: Duration,
    /// Calls in flight at once.
    pub max_in_flight: usize,
}

impl DownstreamConfig {
    /// Reads `MESH_<PEER>_URL` (default `http://<peer>:50051`) and `MESH_<PEER>_TIMEOUT` (default: the largest cap).
    pub fn read(reader: &mut Reader<'_>, peer: &'static Peer) -> Self {
        let limit = reader.count("MESH_CONCURRENCY_LIMIT", CONCURRENCY_LIMIT, 1..=100_000);
        let share = (limit * BULKHEAD_PERCENT / 100).max(1);
        Self::read_with(reader, peer, usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// As [`read`](Self::read), for a process that serves no requests: it has so many calls in flight at most.
    pub fn read_with(reader: &mut Reader<'_>, peer: &'static Peer, max_in_flight: usize) -> Self {
        let (url, timeout) = variables(peer);
        let default = format!("http://{}:50051", peer.name);
        let largest = peer
            .calls
            .iter()
            .map(|call| call.cap)
            .max()
            .unwrap_or_default();
        Self {
            url: reader.parsed(url, &default, parse_url).unwrap_or_default(),
            timeout: reader.duration(timeout, largest),
            connect_timeout: CONNECT_TIMEOUT,
            max_in_flight,
        }
    }
}

/// The names are constants, so that they can be found in the table of every variable.
fn variables(peer: &Peer) -> (&'static str, &'static str) {
    match peer.name {
        "inventory" => ("MESH_INVENTORY_URL", "MESH_INVENTORY_TIMEOUT"),
        "orders" => ("MESH_ORDERS_URL", "MESH_ORDERS_TIMEOUT"),
        "payments" => ("MESH_PAYMENTS_URL", "MESH_PAYMENTS_TIMEOUT"),
        name => {
            unreachable!("{name} has no variables: add them here and to mesh_config::VARIABLES")
        }
    }
}

fn parse_url(text: &str) -> Result<http::Uri, String> {
    let url: http::Uri = text
        .parse()
        .map_err(|error| format!("is no URL ({error}); expected http://host:port"))?;
    let plain = url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty());
    let bare = matches!(url.path(), "" | "/") && url.query().is_none();
    match (plain, bare) {
        (true, true) => Ok(url),
        (false, _) => {
            Err("expected http://host:port; TLS between services is the sidecar's".to_owned())
        }
        (true, false) => Err("expected http://host:port with nothing behind it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_plain_http_without_a_path_is_a_peer() {
        assert!(
            parse_url("http://inventory:50051").is_ok() && parse_url("http://[::1]:50051/").is_ok()
        );
        for bad in [
            "",
            "inventory:50051",
            "https://inventory:50051",
            "http://",
            "http://inventory/path",
            "http://a?b",
            "x y",
        ] {
            assert!(parse_url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_defaults_follow_the_peer_and_its_caps() {
        static PEER: Peer = Peer {
            name: "payments",
            calls: &[crate::Call {
                rpc: "/p.S/M",
                cap: Duration::from_millis(3400),
                floor: Duration::from_millis(50),
                uses: &[],
            }],
        };
        let source = BTreeMap::from([("MESH_CONCURRENCY_LIMIT".to_owned(), "10".to_owned())]);
        let config = DownstreamConfig::read(&mut Reader::new(&source), &PEER);
        assert_eq!(config.url, "http://payments:50051");
        assert_eq!(
            (config.timeout, config.max_in_flight),
            (Duration::from_millis(3400), 8)
        );
    }
}
