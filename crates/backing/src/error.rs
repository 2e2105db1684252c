//! Why there is no server.

use std::{io, path::PathBuf};

use crate::Kind;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("{kind}: no {program} here: install it (on Debian: apt-get install {package})")]
    Missing {
        /// What was to be started.
        kind: Kind,
        /// What was looked for.
        program: &'static str,
        /// Who brings it.
        package: &'static str,
    },
    /// Another server runs in the folder.
    #[error("{kind}: {} is in use by another server", .folder.display())]
    InUse {
        /// What was to be started.
        kind: Kind,
        /// Where.
        folder: PathBuf,
    },
    /// Something else listens there.
    #[error("{kind}: 127.0.0.1:{port} is already in use")]
    PortTaken {
        /// What was to be started.
        kind: Kind,
        /// Where.
        port: u16,
    },
    /// It ended by itself, or one of its tools did.
    #[error("{kind}: {what} failed:\n{}", .last_lines.join("\n"))]
    Failed {
        /// What was to be started.
        kind: Kind,
        /// The program.
        what: &'static str,
        /// Its last words.
        last_lines: Vec<String>,
    },
    /// It runs and does not answer.
    #[error("{kind}: no answer on 127.0.0.1:{port} within {seconds} s:\n{}", .last_lines.join("\n"))]
    Silent {
        /// What was started.
        kind: Kind,
        /// Where.
        port: u16,
        /// How long it was waited for.
        seconds: u64,
        /// Its last words.
        last_lines: Vec<String>,
    },
    /// The system refused something.
    #[error("{kind}: cannot {action}: {source}")]
    Io {
        /// What was to be started.
        kind: Kind,
        /// What was to be done.
        action: String,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(kind: Kind, action: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            kind,
            action: action.into(),
            source,
        }
    }

    /// Whether somebody took a port between our look and its start.
    pub(crate) fn is_port_conflict(&self) -> bool {
        let Self::Failed { last_lines, .. } = self else {
            return false;
        };
        last_lines.iter().any(|line| {
            let line = line.to_lowercase();
            line.contains("in use") || line.contains("eaddrinuse")
        })
    }
}
