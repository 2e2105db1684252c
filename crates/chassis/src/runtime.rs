//! What a process's business gets from the chassis: one cloneable handle.

use std::{fmt, sync::Arc, time::Duration};

use mesh_context::{Policy, RequestContext, SpanSink};
use prometheus::Registry;

use crate::{Readiness, Shutdown, Tasks};

/// Handles to everything that the chassis does for a process. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: Shutdown,
    pub(crate) policy: Policy,
}

impl Runtime {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Where metrics are registered that `/metrics` shows.
    pub fn metrics(&self) -> &Registry {
        &self.0.registry
    }

    /// What `/readyz` waits for.
    pub fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// Spawns, by name.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Tells how far the shutdown is.
    pub fn shutdown(&self) -> Shutdown {
        self.0.shutdown.clone()
    }

    /// Where finished spans go; `None` when none are exported.
    pub fn spans(&self) -> Option<Arc<dyn SpanSink>> {
        self.0.policy.spans.clone()
    }

    /// The longest this process works on one request or message.
    pub fn request_timeout(&self) -> Duration {
        self.0.policy.limit
    }

    /// How headers are read, and what is sampled.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// For work that no request started: a new trace, and a deadline of its own, `limit` from now.
    pub fn task_context(&self, name: &'static str, limit: Duration) -> RequestContext {
        RequestContext::for_task(name, limit, &self.0.policy)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            registry: _,
            readiness,
            tasks,
            shutdown,
            policy,
        } = &*self.0;
        f.debug_struct("Runtime")
            .field("readiness", readiness)
            .field("tasks", tasks)
            .field("shutdown", shutdown)
            .field("policy", policy)
            .finish_non_exhaustive()
    }
}
