//! Which replica reconciles: the one that holds a lease.
//!
//! ```text
//!  candidate ──campaign──► term, with a token ──lost, or resigned──► candidate
//!      └── another's term ──► asks again soon
//! ```
//!
//! A lease does not stop a process that is paused and wakes up after its term: for that there is the token, which grows
//! from term to term and which the store compares at every write.

mod etcd;
mod local;

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use mesh_config::Reader;
use tonic::{async_trait, codegen::http::uri::Authority};

use self::{etcd::Etcd, local::Local};
use crate::store::OrderStore;

const VARIABLE: &str = "MESH_LEASE_URL";
const FORM: &str = "must be local: or etcd://<host>:<port>[,<host>:<port>…]";

/// Where it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseConfig {
    /// Among the processes of this machine.
    Local,
    /// The members of one cluster.
    Etcd(Vec<Authority>),
}

impl LeaseConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        reader
            .parsed(VARIABLE, "local:", parse)
            .unwrap_or(Self::Local)
    }

    /// Connects nothing. `file` is what processes of one machine lock.
    pub(crate) fn election(&self, file: PathBuf, store: OrderStore) -> Arc<dyn Election> {
        match self {
            Self::Local => Arc::new(Local::new(file, store)),
            Self::Etcd(members) => Arc::new(Etcd::new(members)),
        }
    }
}

fn parse(url: &str) -> Result<LeaseConfig, String> {
    if url == "local:" {
        return Ok(LeaseConfig::Local);
    }
    let members = url.strip_prefix("etcd://").ok_or(FORM)?;
    let member = |text: &str| {
        let member: Authority = text.parse().ok()?;
        // Not a name and a password, which `Authority` takes too.
        let plain = member.port_u16().is_some() && !text.contains('@');
        (plain && !member.host().is_empty()).then_some(member)
    };
    let members: Option<Vec<_>> = members.split(',').map(member).collect();
    Ok(LeaseConfig::Etcd(members.ok_or(FORM)?))
}

/// Why nobody can say who holds the lease.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot lock {path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] crate::error::Error),
    #[error("etcd at {member}: {reason}")]
    Etcd { member: Authority, reason: String },
}

/// How one of several candidates is chosen.
#[async_trait]
pub(crate) trait Election: Debug + Send + Sync {
    /// Begins a term; `None` during another's.
    async fn campaign(&self) -> Result<Option<Box<dyn Term>>, Error>;
}

/// The time for which the lease is held. Dropped, it ends by itself, but not at once.
#[async_trait]
pub(crate) trait Term: Debug + Send {
    /// Higher than that of every earlier term.
    fn token(&self) -> i64;

    /// Goes on asking for more time; ends when the lease may be another's, or might be before the holder has noticed.
    async fn keep(&mut self);

    /// Lets another have it at once.
    async fn resign(self: Box<Self>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_file_of_this_machine_or_the_members_of_etcd() {
        assert_eq!(parse("local:"), Ok(LeaseConfig::Local));
        for (url, expected) in [
            ("etcd://one:2379", &["one:2379"][..]),
            ("etcd://one:1,two:2,[::1]:3", &["one:1", "two:2", "[::1]:3"]),
        ] {
            let members = expected.iter().map(|member| member.parse().unwrap());
            assert_eq!(
                parse(url),
                Ok(LeaseConfig::Etcd(members.collect())),
                "{url}"
            );
        }
        for url in [
            "local",
            "local:/tmp/lock",
            "etcd:one:1",
            "etcd://",
            "etcd://one",
            "etcd://one:1,",
            "etcd://:1",
            "etcd://user:password@one:1",
            "etcd://one:1/path",
            "http://one:1",
        ] {
            assert_eq!(parse(url), Err(FORM.to_owned()), "{url}");
        }
    }
}
