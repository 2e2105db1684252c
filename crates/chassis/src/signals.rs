//! What asks the process to end: SIGTERM, SIGINT, or the end of the parent that started it.

use std::{
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
                Some(watch_parent()?)
            } else {
                None
            },
            received: false,
        })
    }

    /// The first reason to end.
    pub(crate) async fn first(&mut self) -> &'static str {
        let parent = self.parent.take();
        let parent_gone = async move {
            match parent {
                Some(parent) => drop(parent.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            name = self.next() => name,
            () = parent_gone => "end of the parent",
        }
    }

    /// The second signal. The parent's end counts as none: a parent may signal and then go away, or the reverse, and has
    /// asked once.
    pub(crate) async fn second(&mut self) -> &'static str {
        if !self.received {
            self.next().await;
        }
        self.next().await
    }

    async fn next(&mut self) -> &'static str {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        self.received = true;
        name
    }
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
