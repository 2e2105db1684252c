//! The shell that keeps a server and ends it when we end, however that is.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::{
    find,
    place::{Place, Plan},
};

const SCRIPT: &str = include_str!("keeper.sh");
/// For a command that the keeper carries out by itself, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// A running server, or one that has ended by itself.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    commands: Option<ChildStdin>,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    lines: Receiver<String>,
    ended: bool,
}

impl Keeper {
    /// Starts the server; the folder goes with us if it is `temporary`.
    pub(crate) fn start(place: &Place, plan: &Plan, temporary: bool) -> std::io::Result<Self> {
        let temporary = if temporary {
            &place.folder
        } else {
            Path::new("")
        };
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "keeper.sh", plan.farewell])
            .arg(temporary)
            .args(&plan.command)
            // What people set for servers of their own is not for ours.
            .env_clear()
            .env("PATH", find::path())
            .envs(plan.environment.iter().cloned())
            .current_dir(&place.folder)
            // Ctrl-C in the terminal is for us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(place.lock()?)
            .spawn()?;
        let commands = shell.stdin.take();
        let answers = shell.stdout.take().expect("piped above");
        let (sender, lines) = channel();
        thread::Builder::new()
            .name(format!("keeper-{}", place.kind))
            .spawn(move || read(answers, &sender))?;
        Ok(Self {
            shell,
            commands,
            said: Mutex::new(Said {
                lines,
                ended: false,
            }),
        })
    }

    /// Whether the server has ended; waits so long for it.
    pub(crate) fn has_ended(&self, within: Duration) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.ended || said.wait("ended", within)
    }

    /// Sends a word and waits for the answer, if one comes.
    pub(crate) fn order(&mut self, word: &str, answer: &str) {
        self.send(word);
        let said = self.said.get_mut().unwrap_or_else(PoisonError::into_inner);
        said.wait(answer, LIMIT);
    }

    /// Sends the server a signal.
    pub(crate) fn send(&mut self, word: &str) {
        // A keeper that is gone has taken the server with it.
        let _gone = self
            .commands
            .as_mut()
            .map(|commands| writeln!(commands, "{word}"));
    }

    /// Kills all processes of the server and leaves its files as they are.
    pub(crate) fn kill(mut self) {
        self.order("kill", "gone");
    }
}

impl Said {
    /// Whether that is said in time.
    fn wait(&mut self, answer: &str, within: Duration) -> bool {
        loop {
            match self.lines.recv_timeout(within) {
                Ok(line) => {
                    self.ended |= line == "ended";
                    if line == answer {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    return answer == "ended";
                }
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The end of its input.
        drop(self.commands.take());
        let _gone = self.shell.wait();
    }
}

/// Until the keeper is gone.
fn read(answers: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(answers).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}
