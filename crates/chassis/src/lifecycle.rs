//! The life of a process, in order. The only caller of everything beside it.
//!
//! ```text
//!  start   settings ─► logs ─► bind every listener ─► admin answers ─► build ─► serve        (connects to nothing)
//!
//!  SIGTERM ─► not ready, consumers stop taking
//!          ─► drain delay, with a listener: goes on serving while the platform takes the process out of its lists
//!          ─► stop accepting; what is idle closes, what is in flight and what must be finished finishes
//!          ─► drain timeout: what is left is cut and named
//!          ─► spans flushed ─► admin last ─► logs flushed ─► exit 0, or 1 if something was cut or failed
//! ```
//!
//! It runs on the main thread, on a small runtime of its own that admin, signals and span export share. The business runs
//! on another: however busy or stuck that one is, probes are answered and the process ends in time. A second signal ends
//! the process at once.

mod export;
mod listen;
mod stop;

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc};

use mesh_config::Settings;
use mesh_context::{Policy, SpanSink};
use prometheus::Registry;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    task::JoinHandle,
};

use self::{export::Export, listen::listen, stop::Stop};
use crate::{
    BoxError, Inbound, OnExit, Process, Readiness, Runtime, Tasks,
    admin::{self, Bound},
    config::ChassisConfig,
    crash_points,
    heartbeat::Heartbeat,
    metrics,
    runtime::Parts,
    server::{self, AccessLog, Drained, Server, ServerParts},
    shutdown::Trigger,
    signals::Signals,
    telemetry::{Logs, panics},
    version,
};

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error("cannot start: {0}")]
    Build(#[from] BoxError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error("cannot start: {0}")]
    Metric(#[from] prometheus::Error),
}

/// What was read for one process.
pub(crate) struct Start<P: Process> {
    pub(crate) chassis: ChassisConfig,
    pub(crate) own: P::Config,
    pub(crate) settings: Settings,
    pub(crate) die_with_parent: bool,
}

/// From here to the exit code.
pub(crate) fn run<P: Process>(start: Start<P>) -> Result<ExitCode, StartError> {
    let telemetry = &start.chassis.telemetry;
    let logs = Logs::start(&telemetry.resource.service, &telemetry.filter)?;
    panics::log();
    let control = Builder::new_current_thread().enable_all().build()?;
    let workers = start.chassis.worker_threads;
    let main = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(P::NAME)
        .enable_all()
        .build()?;
    let ended = control.block_on(live(start, logs.clone(), main.handle()));
    // Neither is waited for: what was worth it has been waited for, and what is stuck must not keep the process.
    main.shutdown_background();
    control.shutdown_background();
    logs.flush();
    ended
}

async fn live<P: Process>(
    start: Start<P>,
    logs: Logs,
    main: &Handle,
) -> Result<ExitCode, StartError> {
    let Start {
        chassis,
        own,
        settings,
        die_with_parent,
    } = start;
    crash_points::declare(P::CRASH_POINTS);
    let mut signals = Signals::listen(die_with_parent)?;
    let admin = Bound::bind(&chassis.admin)?;
    let server = chassis.server.as_ref();
    let listener = server
        .map(|server| listen(server.listen, main))
        .transpose()?;
    announce(P::NAME, &settings, &admin, listener.as_ref());

    let (runtime, trigger, export) = handles::<P>(&chassis, main)?;
    let starting = runtime.readiness().starting();
    let admin = answer_probes::<P>(admin, &runtime, settings, &logs);
    let concurrency = server.map_or(0, |server| server.concurrency);
    let parts = server_parts(&runtime, concurrency, Arc::new(logs.access()));
    let mut serving = tokio::select! {
        built = build::<P>(own, &runtime, listener, parts, main) => built?,
        _ = signals.first() => return Ok(ExitCode::SUCCESS),
    };
    starting.ready();
    Handle::current().spawn(say_ready(runtime.readiness().clone()));

    let reason = serving.until_end(&mut signals, runtime.tasks()).await;
    let stop = Stop {
        runtime,
        trigger,
        drain: chassis.drain,
        export,
        admin,
        logs,
    };
    Ok(stop.run(reason, serving, signals).await)
}

/// What the business gets, and what moves it on and flushes it in the end.
fn handles<P: Process>(
    chassis: &ChassisConfig,
    main: &Handle,
) -> Result<(Runtime, Trigger, Export), StartError> {
    let trigger = Trigger::new();
    let registry = Registry::new();
    metrics::register(&registry, P::NAME, main)?;
    let dropped = metrics::spans_dropped(&registry)?;
    let (spans, export) = Export::start(&chassis.telemetry, dropped)?;
    let runtime = Runtime::new(Parts {
        readiness: Readiness::default(),
        tasks: Tasks::new(main.clone(), trigger.shutdown()),
        shutdown: trigger.shutdown(),
        policy: policy(chassis, spans),
        registry,
    });
    Ok((runtime, trigger, export))
}

/// From here on the admin listener answers, on the current runtime; the heart it listens to beats on the main one.
fn answer_probes<P: Process>(
    admin: Bound,
    runtime: &Runtime,
    settings: Settings,
    logs: &Logs,
) -> JoinHandle<io::Result<()>> {
    let heartbeat = Heartbeat::new();
    let beating = heartbeat.clone().beat();
    runtime
        .tasks()
        .spawn("heartbeat", OnExit::ShutDown, beating);
    Handle::current().spawn(admin.serve(admin::State {
        name: P::NAME,
        heartbeat,
        readiness: runtime.readiness().clone(),
        registry: runtime.metrics().clone(),
        settings,
        log_level: logs.level(),
        profiling: admin::Profiling::default(),
    }))
}

fn policy(chassis: &ChassisConfig, spans: Option<Arc<dyn SpanSink>>) -> Policy {
    Policy {
        trusted: chassis.trusted,
        limit: chassis.request_timeout,
        sampler: chassis.telemetry.sampler,
        formats: chassis.telemetry.formats,
        spans,
    }
}

pub(crate) fn server_parts(
    runtime: &Runtime,
    concurrency: usize,
    access_log: Arc<dyn AccessLog>,
) -> ServerParts {
    ServerParts {
        policy: runtime.policy().clone(),
        concurrency,
        registry: runtime.metrics().clone(),
        access_log,
        readiness: runtime.readiness().clone(),
        shutdown: runtime.shutdown(),
    }
}

/// Wires the process, inside the runtime it will live in, and starts to serve.
async fn build<P: Process>(
    own: P::Config,
    runtime: &Runtime,
    listener: Option<TcpListener>,
    parts: ServerParts,
    main: &Handle,
) -> Result<Serving, StartError> {
    let handle = runtime.clone();
    let built = main.spawn(async move {
        match (P::build(own, &handle)?, listener) {
            (Inbound::None, None) => {
                server::metrics_of_none(&parts.registry)?;
                Ok(None)
            }
            (_, None) => Err("the process answers requests but has no listener".into()),
            (inbound, Some(listener)) => Server::new(listener, inbound, parts).map(Some),
        }
    });
    let server = built.await.map_err(BoxError::from)??;
    Ok(Serving(server.map(|server| main.spawn(server.serve()))))
}

/// Where it listens, and every setting as `GET /config` shows it.
fn announce(name: &str, settings: &Settings, admin: &Bound, listener: Option<&TcpListener>) {
    let settings: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let listen = listener.and_then(|listener| listener.local_addr().ok());
    tracing::info!(
        process = name,
        version = version::VERSION,
        listen = listen.map(tracing::field::display),
        admin = admin.addr().ok().map(tracing::field::display),
        settings = settings.join(" "),
        "starting"
    );
}

/// A process that waits for something says so, and says when it has it.
async fn say_ready(readiness: Readiness) {
    let waiting_for = readiness.pending();
    if !waiting_for.is_empty() {
        tracing::info!(?waiting_for, "not ready yet");
        readiness.becomes(true).await;
    }
    tracing::info!("ready");
}

/// Why the process ends.
#[derive(Debug)]
enum Reason {
    /// Somebody asked for it.
    Asked(&'static str),
    /// Something that it cannot work without is gone.
    Failed(&'static str),
}

/// The server at work; nothing for a process without listener.
#[derive(Debug)]
struct Serving(Option<JoinHandle<Drained>>);

impl Serving {
    /// Somebody may still send requests, until everybody has heard that the process goes away.
    fn has_listener(&self) -> bool {
        self.0.is_some()
    }

    async fn until_end(&mut self, signals: &mut Signals, tasks: &Tasks) -> Reason {
        tokio::select! {
            name = signals.first() => Reason::Asked(name),
            task = tasks.failed() => Reason::Failed(task),
            () = self.failed() => Reason::Failed("server"),
        }
    }

    /// Ends when the server has ended although nobody asked it to.
    async fn failed(&mut self) {
        match &mut self.0 {
            Some(server) => drop(server.await),
            None => std::future::pending().await,
        }
        self.0 = None;
    }

    /// What was cut when the server ended; a server that panicked cut everything.
    async fn drained(&mut self) -> Vec<String> {
        let cut = match &mut self.0 {
            Some(server) => server.await.map_or_else(
                |error| vec![format!("server: {error}")],
                |drained| drained.cut,
            ),
            None => Vec::new(),
        };
        self.0 = None;
        cut
    }
}
