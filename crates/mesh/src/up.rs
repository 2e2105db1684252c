//! `mesh up`: the whole mesh, from the first check to the last goodbye.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use mesh_config::Env;
use mesh_page::Page;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use crate::{
    announce::{self, Told},
    backing::{self, Servers, Watch},
    check,
    cli::{ReplicaCount, UpArgs},
    control::{Control, Facts},
    environment::Environment,
    error::Error,
    folder::Folder,
    launcher::Launcher,
    logbook::{self, Logbook},
    page::{self, Face},
    ports,
    process::{Process, ReplicaId},
    signals::Signals,
    spans::Spans,
    supervisor::{Handle, Supervisor},
    terminal::Terminal,
    view::{Phase, View, seconds},
    watcher::Watcher,
};

/// For the children of a mesh that was killed to end.
const PORTS_LIMIT: Duration = Duration::from_secs(2);

/// A mesh that waits for a database is published as it is, so that others can see what it waits for.
const PUBLISH_AFTER: Duration = Duration::from_secs(10);

/// The status line moves so often.
const TICK: Duration = Duration::from_millis(100);

/// Where there is no status line, a mesh that is not ready says so every so many ticks.
const REMIND_TICKS: u64 = 50;

/// For a terminal that is slow with the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// How many of each process.
type Counts = BTreeMap<Process, u32>;

pub(crate) async fn up(args: UpArgs) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(|source| Error::io("wait for signals", source))?;
    let folder = Folder::here();
    let _lock = folder.lock()?;
    let mut launcher = launcher(&args)?;
    let spans = Spans::new(&mut launcher.environment, args.keep_traces)?;
    let counts = counts(&args.replicas);
    let terminal = launcher.terminal.clone();
    let prepared = async {
        checks(&launcher, &counts).await?;
        servers(&args, &launcher.environment, &folder, &terminal).await
    };
    let prepared = tokio::select! {
        prepared = prepared => prepared,
        // What has been started ends with us.
        () = signals.next() => return Ok(()),
    };
    terminal.status("");
    let outcome = match prepared {
        Ok(servers) => {
            servers.describe_to(&mut launcher.environment);
            let page = page::bind(args.port_offset, args.jaeger_ui);
            match page.map(|page| Around {
                servers,
                spans,
                page,
            }) {
                Ok(around) => mesh(launcher, &folder, &counts, around, &mut signals).await,
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    terminal.flush(FLUSH_LIMIT).await;
    outcome
}

/// With `--real`: the backing servers, once all are up.
async fn servers(
    args: &UpArgs,
    environment: &Environment,
    folder: &Folder,
    terminal: &Terminal,
) -> Result<Servers, Error> {
    let kinds = if args.real {
        backing::wanted(environment)?
    } else {
        Vec::new()
    };
    if !kinds.is_empty() {
        let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        terminal.say(format!("starting {}", names.join(", ")));
    }
    let servers = Servers::start(&kinds, folder.path(), terminal)?;
    let watch = servers.watch();
    tokio::select! {
        up = servers.up() => up?,
        never = show_start(terminal, || watch.unready()) => match never {},
    }
    Ok(servers)
}

/// What there is around the processes.
struct Around {
    servers: Servers,
    spans: Spans,
    page: Page,
}

/// The processes, from their start to their end and that of what they use.
async fn mesh(
    launcher: Launcher,
    folder: &Folder,
    counts: &Counts,
    around: Around,
    signals: &mut Signals,
) -> Result<(), Error> {
    let (terminal, queue) = (launcher.terminal.clone(), launcher.environment.queue());
    let control = Control::bind(&folder.control_socket())?;
    let (logbook, watcher) = (launcher.logbook.clone(), Watcher::new());
    let Around {
        servers,
        spans,
        page,
    } = around;
    let told = Told {
        page: ports::page(launcher.port_offset),
        has_traces: spans.are_kept(),
    };
    let (supervisor, handle) = Supervisor::new(launcher, folder.mesh_file());
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor.run());
    let facts = Facts {
        queue: queue.values().next().cloned().unwrap_or_default(),
        traces: spans.reason(),
    };
    let mut asked = JoinSet::new();
    asked.spawn(control.serve(handle.clone(), facts));
    let (face, store) = (
        Face::new(handle.clone(), logbook, watcher.clone()),
        spans.store.clone(),
    );
    asked.spawn(async move { match page.serve(face, store).await {} });
    let collector = spans.collector();
    tasks.spawn(spans.serve(terminal.clone()));

    let watch = servers.watch();
    let run = async {
        serve(&handle, counts, &watch, told, &terminal).await?;
        tokio::select! {
            never = watcher.watch_processes(&handle) => match never {},
            never = watcher.watch_queue(&queue, &watch, &terminal) => match never {},
        }
    };
    let outcome = tokio::select! {
        failed = run => failed,
        () = signals.next() => Ok(()),
    };
    // Nobody starts anything any more.
    asked.abort_all();
    let in_order = stop(&handle, signals, &terminal).await;
    if in_order {
        let rest = async {
            if let Some(collector) = collector {
                collector.flush(&terminal).await;
            }
            servers.stop().await;
        };
        tokio::select! {
            () = rest => {}
            // They die with us.
            () = signals.next() => {}
        }
    }
    outcome.and(folder.stop_publishing())
}

fn launcher(args: &UpArgs) -> Result<Launcher, Error> {
    // Asked once: the file may be replaced while we run, by the next build.
    let program: PathBuf =
        std::env::current_exe().map_err(|source| Error::io("find this program", source))?;
    Ok(Launcher {
        program,
        arguments: Vec::new(),
        environment: Environment::new(&Env, &args.set, args.port_offset)?,
        port_offset: args.port_offset,
        logs: args.logs,
        logbook: Logbook::new(logbook::LIMIT),
        terminal: Terminal::stdout(&Env)
            .map_err(|source| Error::io("start the output thread", source))?,
    })
}

/// One of each, unless told otherwise.
fn counts(replicas: &[ReplicaCount]) -> Counts {
    let one_each = Process::ALL.map(|process| (process, 1));
    let told = replicas.iter().map(|told| (told.process, told.count));
    one_each.into_iter().chain(told).collect()
}

/// What can be known to go wrong before anything is started.
async fn checks(launcher: &Launcher, counts: &Counts) -> Result<(), Error> {
    check::settings(launcher).await?;
    let started: Vec<Process> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(process, _)| *process)
        .collect();
    let deadline = Instant::now() + PORTS_LIMIT;
    loop {
        let taken = ports::taken(&started, launcher.port_offset);
        if taken.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::PortsTaken {
                taken,
                free_offset: ports::free_offset(),
            });
        }
        sleep(TICK).await;
    }
}

/// Starts every process and says where it is, unless it could not start.
async fn serve(
    handle: &Handle,
    counts: &Counts,
    servers: &Watch,
    told: Told,
    terminal: &Terminal,
) -> Result<(), Error> {
    let begun = Instant::now();
    let names: Vec<&str> = counts.keys().map(|process| process.name()).collect();
    terminal.say(format!("starting {}", names.join(", ")));
    for (process, count) in counts {
        handle.scale(*process, *count).await;
    }
    let publish = async {
        sleep(PUBLISH_AFTER).await;
        handle.publish().await;
        std::future::pending().await
    };
    tokio::select! {
        started = started(handle) => started?,
        never = show_start(terminal, || unready(&handle.view().borrow())) => match never {},
        () = publish => {}
    }
    terminal.status("");
    handle.publish().await;
    let view = handle.view().borrow().clone();
    let (took, palette) = (begun.elapsed(), terminal.palette());
    terminal.say(announce::mesh(&view, servers, told, took, palette));
    Ok(())
}

/// Waits until all are ready, or one could not start.
async fn started(handle: &Handle) -> Result<(), Error> {
    let all_ready = |view: &View| view.values().all(|status| status.phase == Phase::Ready);
    let one_failed = |view: &View| view.values().any(|status| status.failure.is_some());
    handle
        .until(|view| all_ready(view) || one_failed(view))
        .await;
    let watched = handle.view();
    let failure = watched
        .borrow()
        .iter()
        .find_map(|(id, status)| Some((*id, status.failure.clone()?)));
    match failure {
        Some((id, death)) => Err(Error::Start {
            name: id.to_string(),
            reason: death.reason,
            last_lines: death.last_lines,
        }),
        None => Ok(()),
    }
}

/// Keeps people informed of who is not ready yet.
async fn show_start(terminal: &Terminal, unready: impl Fn() -> String) -> std::convert::Infallible {
    let begun = Instant::now();
    let mut ticks = interval(TICK);
    let mut tick = 0;
    loop {
        ticks.tick().await;
        tick += 1;
        let text = format!("starting for {}: {}", seconds(begun.elapsed()), unready());
        if terminal.is_live() {
            terminal.status(&text);
        } else if tick % REMIND_TICKS == 0 {
            terminal.say(text);
        }
    }
}

/// Who is not ready, and why.
fn unready(view: &View) -> String {
    let unready: Vec<String> = view
        .iter()
        .filter(|(_, status)| status.phase != Phase::Ready)
        .map(|(id, status)| format!("{id} {}", status.phase))
        .collect();
    unready.join(", ")
}

/// Stops callers before those they call; at the second signal everything at once. Whether there was no second.
async fn stop(handle: &Handle, signals: &mut Signals, terminal: &Terminal) -> bool {
    terminal.status("");
    terminal.say("stopping (once more: at once)");
    let in_order = async {
        for processes in Process::STOP_ORDER {
            for process in processes {
                handle.scale(*process, 0).await;
            }
            let is_one_of = |id: &ReplicaId| processes.contains(&id.process);
            handle.until(|view| !view.keys().any(is_one_of)).await;
        }
    };
    tokio::select! {
        () = in_order => true,
        () = signals.next() => {
            handle.kill_all().await;
            handle.until(View::is_empty).await;
            false
        }
    }
}
