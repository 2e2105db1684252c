//! Who calls what, as the services' code says it: what the mesh's routes and policies have to agree with.

use std::{collections::BTreeMap, time::Duration};

/// One RPC that one process calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The process that calls.
    pub caller: String,
    /// The process that is called.
    pub callee: String,
    /// `/package.Service/Method`.
    pub rpc: String,
    /// The longest the caller waits.
    pub cap: Duration,
    /// The caller's own RPCs, HTTP routes and tasks that call it.
    pub handlers: Vec<String>,
}

/// All calls, and all that could be called.
#[derive(Debug, Clone, Default)]
pub struct CallGraph {
    /// The calls.
    pub edges: Vec<Edge>,
    /// Every RPC of the protos, and whether it may be repeated (`IDEMPOTENT`, `NO_SIDE_EFFECTS`).
    pub rpcs: BTreeMap<String, bool>,
}

impl CallGraph {
    /// Who is called at all.
    pub fn callees(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<_> = self.edges.iter().map(|edge| edge.callee.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }
}
