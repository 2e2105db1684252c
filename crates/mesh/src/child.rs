//! One OS process of the mesh: how it is started, signalled and ended.

use std::{
    fmt, io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{ChildStdin, Command};

use crate::{logbook::Scribe, logs::Renderer, output::Output, terminal::Terminal};

#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    pid: Pid,
    output: Output,
    /// Never written to. The child ends itself when this end is closed: by us, or by the system when we die.
    _lifeline: ChildStdin,
}

impl Child {
    /// Starts it in a process group of its own, so that Ctrl-C in the terminal reaches `mesh up` alone,
    /// which then stops the children in order.
    pub(crate) fn spawn(
        mut command: Command,
        renderer: Renderer,
        scribe: Scribe,
        terminal: &Terminal,
    ) -> io::Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(lifeline), Some(stdout), Some(stderr)) = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        ) else {
            return Err(io::Error::other("no pipe to the child"));
        };
        let pid = process
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self {
            process,
            pid,
            output: Output::follow(stdout, stderr, renderer, scribe, terminal),
            _lifeline: lifeline,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Signals the child and whatever it started, unless it has ended: its number may be another's by then.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.process.id().is_some() {
            // It may end at this very moment.
            let _gone = kill_process_group(self.pid, signal);
        }
    }

    pub(crate) async fn wait(&mut self) -> Exit {
        self.process.wait().await.map_or(Exit::Unknown, Exit::from)
    }

    /// What it wrote last, once it has ended.
    pub(crate) async fn last_lines(self) -> Vec<String> {
        self.output.last_lines().await
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    Unknown,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::Code(code) => return write!(f, "exited with code {code}"),
            Self::Unknown => return f.write_str("ended, the system does not say how"),
            Self::Signal(signal) => {
                write!(f, "was killed by signal {signal}")?;
                Signal::from_named_raw(signal)
            }
        };
        match name {
            Some(Signal::KILL) => f.write_str(" (SIGKILL)"),
            Some(Signal::TERM) => f.write_str(" (SIGTERM)"),
            Some(Signal::ABORT) => f.write_str(" (SIGABRT)"),
            Some(Signal::SEGV) => f.write_str(" (SIGSEGV)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_child_is_told_in_words() {
        let told = |raw| Exit::from(ExitStatus::from_raw(raw)).to_string();
        assert_eq!(told(3 << 8), "exited with code 3");
        assert_eq!(told(9), "was killed by signal 9 (SIGKILL)");
        assert_eq!(told(30), "was killed by signal 30");
    }
}
