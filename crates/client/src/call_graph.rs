//! Who calls what: declared once, where the stubs are made, as data that others read too (access policies, the check of
//! timeouts in manifests).

use std::time::Duration;

/// A service that is called, and every call made to it.
#[derive(Debug)]
pub struct Peer {
    /// Its name: label of metrics, part of `MESH_<PEER>_URL`, host name in the cluster.
    pub name: &'static str,
    /// A call that is not among these is refused.
    pub calls: &'static [Call],
}

/// One RPC of a peer.
#[derive(Debug)]
pub struct Call {
    /// As on the wire: `/package.Service/Method`.
    pub rpc: &'static str,
    /// The longest a caller waits for it, however much time it has itself.
    pub cap: Duration,
    /// With less time than this the call is not made: it could not succeed, and would only add load.
    pub floor: Duration,
    /// Which of the service's own handlers make it.
    pub uses: &'static [Use],
}

/// One place a call is made from.
#[derive(Debug)]
pub struct Use {
    /// The caller's own RPC (`/package.Service/Method`), HTTP route (`POST /v1/orders`) or task (`reconciler`).
    pub handler: &'static str,
    /// Whether the handler's calls follow one another or run side by side.
    pub order: Order,
    /// How often at most for one request.
    pub at_most: u32,
}

/// How the calls of one handler lie in time; their times add up, or the longest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// After the calls before it in the list.
    Sequence,
    /// At the same time as the others marked so.
    Parallel,
}

impl Call {
    /// `package.Service`, of the path.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.rpc
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default()
    }

    /// `Method`, of the path.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.rpc.rsplit('/').next().unwrap_or_default()
    }
}
