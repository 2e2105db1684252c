//! A runtime for tests of services: a registry of its own, and everything that would leave the process is kept.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use mesh_context::{Policy, Span, SpanSink};
use prometheus::{Registry, TextEncoder};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Handle};

use crate::{
    BoxError, Inbound, OnExit, Readiness, Runtime, Tasks,
    lifecycle::server_parts,
    runtime::Parts,
    server::{AccessEntry, AccessLog, Server},
    shutdown::Trigger,
    telemetry::{AccessLines, Format, Lines, access_line},
};

/// A [`Runtime`] on the current tokio runtime. Nothing shuts it down but the test.
#[derive(Debug)]
pub struct TestRuntime {
    runtime: Runtime,
    trigger: Trigger,
    kept: Arc<Kept>,
}

/// Spans and access-log lines, in order.
#[derive(Debug, Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    lines: Mutex<Vec<Vec<u8>>>,
}

impl TestRuntime {
    /// Makes spans; works on a request for 5 s at most.
    #[must_use]
    pub fn new() -> Self {
        Self::with_policy(Policy::inside(Duration::from_secs(5)))
    }

    /// Makes spans whatever `policy` says about them.
    #[must_use]
    pub fn with_policy(mut policy: Policy) -> Self {
        let kept = Arc::new(Kept::default());
        policy.spans = Some(Arc::clone(&kept) as _);
        Self::assemble(policy, kept)
    }

    /// Does what `policy` says and keeps no spans.
    #[must_use]
    pub fn keeping_nothing(policy: Policy) -> Self {
        Self::assemble(policy, Arc::default())
    }

    /// As without a collector: makes no spans.
    #[must_use]
    pub fn without_spans(mut policy: Policy) -> Self {
        policy.spans = None;
        Self::assemble(policy, Arc::default())
    }

    fn assemble(policy: Policy, kept: Arc<Kept>) -> Self {
        let trigger = Trigger::new();
        let runtime = Runtime::new(Parts {
            registry: Registry::new(),
            readiness: Readiness::default(),
            tasks: Tasks::new(Handle::current(), trigger.shutdown()),
            shutdown: trigger.shutdown(),
            policy,
        });
        Self {
            runtime,
            trigger,
            kept,
        }
    }

    /// What a process's `build` gets.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Answers on a free port of the loopback until the test ends.
    ///
    /// # Errors
    /// No port is free, or the server cannot be put together.
    pub async fn serve(&self, inbound: Inbound) -> Result<SocketAddr, BoxError> {
        let log = Arc::clone(&self.kept) as _;
        self.serve_logged(inbound, log).await
    }

    /// As [`serve`](Self::serve), with another access log.
    ///
    /// # Errors
    /// No port is free, or the server cannot be put together.
    pub async fn serve_logged(
        &self,
        inbound: Inbound,
        log: Arc<dyn AccessLog>,
    ) -> Result<SocketAddr, BoxError> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let addr = listener.local_addr()?;
        let server = Server::new(listener, inbound, server_parts(&self.runtime, 256, log))?;
        self.runtime
            .tasks()
            .spawn("server", OnExit::Ignore, async move {
                let _ = server.serve().await;
            });
        Ok(addr)
    }

    /// The spans that were made so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.kept.spans).clone()
    }

    /// The access-log lines that were written so far.
    #[must_use]
    pub fn access_lines(&self) -> Vec<Value> {
        let lines = lock(&self.kept.lines);
        lines
            .iter()
            .map(|line| serde_json::from_slice(line).expect("an access line is JSON"))
            .collect()
    }

    /// What `/metrics` would show.
    #[must_use]
    pub fn metrics(&self) -> String {
        let metrics = TextEncoder::new().encode_to_string(&self.runtime.metrics().gather());
        metrics.expect("what a registry took can be encoded")
    }

    /// The process begins to drain.
    pub fn drain(&self) {
        self.runtime.readiness().drain();
        self.trigger.drain();
    }

    /// Listeners stop accepting.
    pub fn close(&self) {
        self.trigger.close();
    }

    /// What is left is cut.
    pub fn cut(&self) {
        self.trigger.cut();
    }
}

/// The access log of a process, written to `out`.
///
/// # Errors
/// No thread can be started.
pub fn access_log(out: impl Write + Send + 'static) -> io::Result<Arc<dyn AccessLog>> {
    let format = Format::json("test");
    let lines = Lines::start(out, format.clone())?;
    let enabled = Arc::new(AtomicBool::new(true));
    Ok(Arc::new(AccessLines::new(lines, format, enabled)))
}

impl Default for TestRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanSink for Kept {
    fn submit(&self, span: Span) {
        lock(&self.spans).push(span);
    }
}

impl AccessLog for Kept {
    fn write(&self, entry: &AccessEntry<'_>) {
        lock(&self.lines).push(access_line(&Format::json("test"), SystemTime::now(), entry));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
