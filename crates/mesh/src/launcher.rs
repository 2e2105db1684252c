//! How a replica becomes an OS process: the program, its variables, where its lines go.

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use tokio::process::Command;

use crate::{
    child::Child,
    cli::LogChoice,
    environment::Environment,
    logbook::Logbook,
    logs::Renderer,
    ports::Addresses,
    process::{Process, ReplicaId},
    terminal::Terminal,
};

#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    /// Before `run <process> …`; none but in tests.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Environment,
    pub(crate) port_offset: u16,
    pub(crate) logs: LogChoice,
    pub(crate) logbook: Logbook,
    pub(crate) terminal: Terminal,
}

impl Launcher {
    /// The first replica keeps its ports for life; others take free ones at each start.
    pub(crate) fn addresses(&self, id: ReplicaId) -> io::Result<Addresses> {
        if id.number == 1 {
            return Ok(Addresses::known(id.process, self.port_offset));
        }
        Addresses::free(id.process)
    }

    pub(crate) fn launch(&self, id: ReplicaId, addresses: &Addresses) -> io::Result<Child> {
        let mut command = self.command(id.process);
        command
            .arg("--die-with-parent")
            .envs(self.environment.of(id, addresses));
        let renderer = Renderer::new(id, self.terminal.palette(), self.logs);
        let scribe = self.logbook.scribe(id);
        Child::spawn(command, renderer, scribe, &self.terminal)
    }

    /// The process as it will be started, except that it only reads its settings.
    pub(crate) fn check(&self, process: Process) -> Command {
        let addresses = Addresses::known(process, self.port_offset);
        let mut command = self.command(process);
        command
            .arg("--check-config")
            .envs(self.environment.of(ReplicaId::first(process), &addresses));
        command
    }

    /// How long a child may take to stop.
    pub(crate) fn grace(&self) -> Duration {
        self.environment.grace()
    }

    fn command(&self, process: Process) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("run").arg(process.name());
        command
    }
}
