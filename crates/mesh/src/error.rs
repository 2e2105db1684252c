//! Why a command failed: what is wrong, and what to do about it.

use std::{io, net::SocketAddr};

/// The exit code of bad settings, as sysexits.h has it (`EX_USAGE`).
const EXIT_SETTINGS: u8 = 64;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing was started: one line for each problem.
    #[error("the settings cannot be used, nothing was started:\n{}", indented(.0))]
    Settings(Vec<String>),

    #[error("{}", ports_taken(.taken, *.free_offset))]
    PortsTaken {
        taken: Vec<(&'static str, SocketAddr)>,
        free_offset: Option<u16>,
    },

    #[error("a mesh already runs in this folder{}: stop it first, or work in another folder with --port-offset", process(*.pid))]
    AlreadyRuns { pid: Option<u32> },

    #[error("a mesh runs in this folder{}: stop it first", process(*.pid))]
    StillRuns { pid: Option<u32> },

    #[error("no mesh runs in this folder: start one with `cargo mesh up`")]
    NotRunning,

    /// Nothing was started: one line for each.
    #[error("the servers that --real needs are not all here, nothing was started:\n{}", indented(.0))]
    Missing(Vec<String>),

    /// A backing server could not be started.
    #[error("{0}")]
    Backing(String),

    #[error("{name} could not start: {reason}\n{}{}", indented(.last_lines), hint(.last_lines))]
    Start {
        name: String,
        reason: String,
        last_lines: Vec<String>,
    },

    /// Not all of the mesh is: who is not, and why.
    #[error("not ready: {0}")]
    NotReady(String),

    #[error("{0}")]
    Refused(String),

    #[error("cannot {action}: {source}")]
    Io { action: String, source: io::Error },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            action: action.into(),
            source,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) => EXIT_SETTINGS,
            Self::PortsTaken { .. }
            | Self::AlreadyRuns { .. }
            | Self::StillRuns { .. }
            | Self::NotRunning
            | Self::Missing(_)
            | Self::Backing(_)
            | Self::Start { .. }
            | Self::NotReady(_)
            | Self::Refused(_)
            | Self::Io { .. } => 1,
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

fn ports_taken(taken: &[(&str, SocketAddr)], free_offset: Option<u16>) -> String {
    let lines: Vec<String> = taken
        .iter()
        .map(|(name, address)| format!("{name}: {address} is already in use"))
        .collect();
    let remedy = match free_offset {
        Some(offset) => format!("shift every port: cargo mesh up --port-offset {offset}"),
        None => "free these ports, or shift every port with --port-offset".to_owned(),
    };
    format!("nothing was started:\n{}\n{remedy}", indented(&lines))
}

/// A port can be taken between our own look and the child's: its message is in its last lines.
fn hint(last_lines: &[String]) -> &'static str {
    let conflict = last_lines
        .iter()
        .any(|line| line.to_lowercase().contains("in use"));
    if conflict {
        "\nanother program has the port: shift every port with --port-offset"
    } else {
        ""
    }
}
