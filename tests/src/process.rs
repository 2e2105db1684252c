//! One process of the mesh: started, watched, stopped, and never left behind.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Longer than any process may take to end: more than the drain timeout, and than a broker stops in.
const EXIT_LIMIT: Duration = Duration::from_secs(180);
/// How much of a log is shown when a test fails.
const SHOWN_LINES: usize = 40;

/// A running process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stderr.
    pub errors: String,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) name: &'a str,
    /// One of the binaries of this package, or the path of another.
    pub(crate) binary: &'a str,
    pub(crate) arguments: &'a [&'a str],
    /// Where it runs; its output goes there too.
    pub(crate) folder: &'a Path,
    /// All of its environment.
    pub(crate) environment: &'a [(String, String)],
}

impl Process {
    pub(crate) fn start(program: &Program<'_>) -> Self {
        let Program {
            name,
            binary,
            arguments,
            folder,
            environment,
        } = program;
        let [output, errors] = ["out", "err"].map(|kind| folder.join(format!("{name}.{kind}")));
        let open = |path: &Path| {
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .expect("the folder is writable")
        };
        let child = Command::new(built(binary))
            .args(*arguments)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open(&output))
            .stderr(open(&errors))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: (*name).to_owned(),
            child,
            output,
            errors,
        }
    }

    /// Its id.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child
            .id()
            .unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// What it wrote to stdout: JSON lines; other lines are left out.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        self.output()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What it wrote to stdout.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn errors(&self) -> String {
        read(&self.errors)
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        kill(self.pid(), Signal::TERM);
    }

    /// Stops the clock for it (SIGSTOP): its connections stay, nothing is answered.
    pub fn pause(&self) {
        kill(self.pid(), Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        kill(self.pid(), Signal::CONT);
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn wait(&mut self) -> Exit {
        let status = timeout(EXIT_LIMIT, self.child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("{} does not end within {EXIT_LIMIT:?}", self.name));
        Exit {
            code: status.expect("it is our child").code(),
            errors: self.errors(),
        }
    }

    /// Waits until it has aborted at that crash point.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`, or ends otherwise.
    pub async fn aborted(&mut self, point: &str, limit: Duration) {
        let status = timeout(limit, self.child.wait()).await;
        let status = status
            .unwrap_or_else(|_| panic!("{} has not come by {point} after {limit:?}", self.name));
        let signal = status.expect("it is our child").signal();
        let errors = self.errors();
        assert_eq!(
            signal,
            Some(Signal::ABORT.as_raw()),
            "{}: {errors}",
            self.name
        );
    }

    /// Asks it to end and insists that it does so well.
    ///
    /// # Panics
    ///
    /// When its exit code is not 0.
    pub async fn stop(&mut self) {
        self.terminate();
        let exit = self.wait().await;
        assert_eq!(
            exit.code,
            Some(0),
            "{} did not end well: {}",
            self.name,
            exit.errors
        );
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails tells what its processes said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for text in [self.output(), self.errors()] {
                let lines: Vec<_> = text.lines().collect();
                for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                    eprintln!("{} | {line}", self.name);
                }
            }
        }
    }
}

/// Sends a signal to a process.
///
/// # Panics
///
/// When there is no such process.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("an id of a process");
    kill_process(pid, signal).expect("the process is there");
}

/// A binary of this package: cargo builds it beside other binaries, and beside the folder of the tests. An absolute path
/// stays as it is.
pub(crate) fn built(binary: &str) -> PathBuf {
    let own = std::env::current_exe().expect("whoever runs has a path");
    let name = format!("{binary}{}", std::env::consts::EXE_SUFFIX);
    let mut places = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(&name));
    places
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("{binary} is not built"))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
