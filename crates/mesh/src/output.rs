//! Reads what a child writes: to the terminal, to the logbook, and its last lines kept for the day it dies.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncRead,
    process::{ChildStderr, ChildStdout},
    task::JoinSet,
    time::timeout,
};

use crate::{
    lines::{Line, Lines},
    logbook::Scribe,
    logs::{self, Renderer},
    terminal::Terminal,
};

/// Lines kept of each child.
const KEPT: usize = 8;

/// A dead child's pipes end at once, unless something it started holds them open.
const END_LIMIT: Duration = Duration::from_millis(200);

/// What a running child writes.
#[derive(Debug)]
pub(crate) struct Output {
    readers: JoinSet<()>,
    last: Arc<Mutex<VecDeque<Line>>>,
}

impl Output {
    /// Reads both streams until their ends, without ever waiting for the terminal.
    pub(crate) fn follow(
        stdout: ChildStdout,
        stderr: ChildStderr,
        renderer: Renderer,
        scribe: Scribe,
        terminal: &Terminal,
    ) -> Self {
        let reader = Reader {
            renderer: Arc::new(renderer),
            scribe,
            terminal: terminal.clone(),
            last: Arc::default(),
        };
        let last = Arc::clone(&reader.last);
        let mut readers = JoinSet::new();
        readers.spawn(reader.clone().read(stdout));
        readers.spawn(reader.read(stderr));
        Self { readers, last }
    }

    /// The last lines of a child that has ended.
    pub(crate) async fn last_lines(mut self) -> Vec<String> {
        let ends = async { while self.readers.join_next().await.is_some() {} };
        // What is still open then is not the child's own.
        let _open = timeout(END_LIMIT, ends).await;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(logs::plain).collect()
    }
}

#[derive(Clone)]
struct Reader {
    renderer: Arc<Renderer>,
    scribe: Scribe,
    terminal: Terminal,
    last: Arc<Mutex<VecDeque<Line>>>,
}

impl Reader {
    async fn read(self, stream: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(stream);
        while let Ok(Some(line)) = lines.next().await {
            self.scribe.note(&line);
            if let Some(text) = self.renderer.render(&line) {
                self.terminal.log(text);
            }
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == KEPT {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
}
