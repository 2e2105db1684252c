//! What a process is, and the `main` of every binary.

use std::{
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use mesh_config::{Env, Reader, Section, Settings, load};

use crate::{
    Inbound, Runtime,
    config::ChassisConfig,
    lifecycle::{self, Start},
    version,
};

/// Any error of a process's start.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bad usage or settings, as in `sysexits.h`.
const EX_USAGE: u8 = 64;

/// One process of the mesh.
pub trait Process: 'static {
    /// Its name: `orders`.
    const NAME: &'static str;
    /// How it differs from other processes in what all have.
    const DEFAULTS: Defaults;
    /// Every name that it gives to [`crash_point`](crate::crash_point).
    const CRASH_POINTS: &'static [&'static str] = &[];
    /// Its own settings.
    type Config: Section + Send + 'static;

    /// Wires the process. Called once, inside the main runtime, so that channels and pools can be made, but it connects
    /// to nothing: a process starts although everything it needs is away.
    ///
    /// # Errors
    /// Only what no waiting can mend, such as a metric registered twice.
    fn build(config: Self::Config, runtime: &Runtime) -> Result<Inbound, BoxError>;
}

/// Defaults of the settings that every process has.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Where it listens, such as `0.0.0.0:50051`; `None` for a process that only consumes and calls.
    pub listen: Option<&'static str>,
    /// The longest it works on one request or message.
    pub request_timeout: Duration,
    /// Requests come from outside the mesh: what their headers say is not trusted unless `MESH_TRUST_EDGE_HEADERS` says so.
    pub edge: bool,
}

/// The settings of `P` with those of the chassis.
struct Config<P: Process> {
    chassis: ChassisConfig,
    own: P::Config,
}

impl<P: Process> Section for Config<P> {
    fn read(reader: &mut Reader<'_>) -> Self {
        let chassis = ChassisConfig::read(reader, P::NAME, &P::DEFAULTS);
        let own = P::Config::read(reader);
        Self { chassis, own }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run { die_with_parent: bool },
    CheckConfig,
    Help,
    Version,
}

impl Command {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut command = Self::Run {
            die_with_parent: false,
        };
        for arg in args {
            command = match (arg.as_str(), command) {
                ("--help" | "-h", _) => Self::Help,
                ("--version" | "-V", _) => Self::Version,
                ("--check-config", Self::Run { .. } | Self::CheckConfig) => Self::CheckConfig,
                // For a supervisor: standard input is a pipe from it, whose end is the end of this process too.
                ("--die-with-parent", Self::Run { .. }) => Self::Run {
                    die_with_parent: true,
                },
                ("--check-config" | "--die-with-parent", command) => command,
                _ => return Err(format!("unknown argument {arg:?}, see --help")),
            };
        }
        Ok(command)
    }
}

/// Runs `P` until it is told to end: the whole `main` of a binary. `args` are without the program's name.
pub fn main<P: Process>(args: impl Iterator<Item = String>) -> ExitCode {
    match Command::parse(args) {
        Ok(Command::Run { die_with_parent }) => run::<P>(die_with_parent),
        Ok(Command::CheckConfig) => check_config::<P>(),
        Ok(Command::Help) => print(&help(P::NAME)),
        Ok(Command::Version) => print(&format!(
            "{} {} ({})\n",
            P::NAME,
            version::VERSION,
            version::REVISION
        )),
        Err(problem) => fail(P::NAME, &problem, EX_USAGE),
    }
}

fn run<P: Process>(die_with_parent: bool) -> ExitCode {
    let loaded = match load::<Config<P>>(&Env) {
        Ok(loaded) => loaded,
        Err(problems) => return fail(P::NAME, &problems, EX_USAGE),
    };
    let Config { chassis, own } = loaded.config;
    match lifecycle::run(Start::<P> {
        chassis,
        own,
        settings: loaded.settings,
        die_with_parent,
    }) {
        Ok(code) => code,
        Err(error) => fail(P::NAME, &error, 1),
    }
}

fn check_config<P: Process>() -> ExitCode {
    match load::<Config<P>>(&Env) {
        Ok(loaded) => print(&listing(&loaded.settings)),
        Err(problems) => fail(P::NAME, &problems, EX_USAGE),
    }
}

fn listing(settings: &Settings) -> String {
    settings
        .iter()
        .fold(String::new(), |mut listing, (name, value)| {
            let _ = writeln!(listing, "{name}={value}");
            listing
        })
}

fn help(name: &str) -> String {
    format!(
        "Runs {name}. All settings are environment variables; the README lists them.\n\n\
         Usage: {name} [--check-config | --version | --help]\n\n\
         --check-config  print every setting and exit: 0 when all can be used, {EX_USAGE} when not\n"
    )
}

/// What a broken pipe swallows nobody wanted to read.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Every problem on a line of its own, behind the process's name.
fn fail(name: &str, problem: &dyn std::fmt::Display, code: u8) -> ExitCode {
    for line in problem.to_string().lines() {
        let _ = writeln!(io::stderr(), "{name}: {line}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_few() {
        let parse = |args: &[&str]| Command::parse(args.iter().map(|arg| (*arg).to_owned()));
        assert_eq!(
            parse(&[]),
            Ok(Command::Run {
                die_with_parent: false
            })
        );
        assert_eq!(
            parse(&["--die-with-parent"]),
            Ok(Command::Run {
                die_with_parent: true
            })
        );
        assert_eq!(
            parse(&["--die-with-parent", "--check-config"]),
            Ok(Command::CheckConfig)
        );
        assert_eq!(
            parse(&["--check-config", "--die-with-parent"]),
            Ok(Command::CheckConfig)
        );
        assert_eq!(parse(&["--check-config", "--help"]), Ok(Command::Help));
        assert_eq!(
            parse(&["--chekc-config"]),
            Err("unknown argument \"--chekc-config\", see --help".to_owned())
        );
    }
}
