//! What asks the process to end: SIGTERM, SIGINT, or the end of the parent that started it.

use std::{
    future::pending,
    io::{self, Read},
    thread,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// Listens from the moment it is made, so that no signal during the start is missed.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    parent: Option<oneshot::Receiver<()>>,
    received: bool,
}

impl Signals {
    /// With `die_with_parent`, standard input is a pipe that the parent never writes to: its end is the parent's end.
    pub(crate) fn listen(die_with_parent: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent: if die_with_parent {
                wake_at_parents_end()?;
                Some(watch_parent()?)
            } else {
                None
            },
            received: false,
        })
    }

    /// The first reason to end. Nothing is lost when it is dropped.
    pub(crate) async fn first(&mut self) -> &'static str {
        let Self {
            terminate,
            interrupt,
            parent,
            received,
        } = self;
        tokio::select! {
            name = next(terminate, interrupt) => {
                *received = true;
                name
            }
            () = gone(parent) => "end of the parent",
        }
    }

    /// The second signal. The parent's end counts as none: a parent may signal and then go away, or the reverse, and has
    /// asked once.
    pub(crate) async fn second(&mut self) -> &'static str {
        if !self.received {
            next(&mut self.terminate, &mut self.interrupt).await;
        }
        next(&mut self.terminate, &mut self.interrupt).await
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

async fn gone(parent: &mut Option<oneshot::Receiver<()>>) {
    match parent {
        Some(end) => drop(end.await),
        None => pending().await,
    }
    *parent = None;
}

/// A process that is stopped (SIGSTOP) notices nothing: at its parent's end the system lets it go on, and then it sees that
/// end. macOS does so unasked.
#[cfg(target_os = "linux")]
fn wake_at_parents_end() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        rustix::process::Signal::CONT,
    ))?)
}

#[cfg(not(target_os = "linux"))]
fn wake_at_parents_end() -> io::Result<()> {
    Ok(())
}

/// Reads standard input on a thread of its own until it ends; tokio's stdin would keep the runtime from ending.
fn watch_parent() -> io::Result<oneshot::Receiver<()>> {
    let (gone, parent) = oneshot::channel();
    thread::Builder::new()
        .name("parent".to_owned())
        .spawn(move || {
            let mut ignored = [0; 64];
            while matches!(io::stdin().lock().read(&mut ignored), Ok(1..)) {}
            let _ = gone.send(());
        })?;
    Ok(parent)
}
