//! An etcd of one's own, to be killed and started.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const SCRIPT: &str = include_str!("etcd.sh");

/// One member on free ports with its data in a temporary folder; both go with this value or with the process.
#[derive(Debug)]
pub struct Etcd {
    port: u16,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    watcher: Child,
}

impl Etcd {
    /// Starts one.
    ///
    /// # Panics
    /// etcd is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        // Someone else may take a port before etcd does.
        let mut last = String::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(server) => return server,
                Err(said) => last = said,
            }
        }
        panic!("no etcd for this test: {last}");
    }

    fn try_start() -> Result<Self, String> {
        let [port, peers] = free_ports()?;
        let mut watcher = Command::new("sh")
            .args(["-c", SCRIPT, "etcd.sh"])
            .args([port.to_string(), peers.to_string()])
            .current_dir("/")
            // Ctrl-C in the terminal is for us; the watcher ends when we do.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let commands = watcher.stdin.take().expect("piped above");
        let answers = BufReader::new(watcher.stdout.take().expect("piped above"));
        let mut server = Self {
            port,
            commands,
            answers,
            watcher,
        };
        server.expect("started")?;
        Ok(server)
    }

    /// For `MESH_LEASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// As a power cut would.
    ///
    /// # Panics
    /// It does not obey.
    pub fn kill(&mut self) {
        self.command("kill", "killed");
    }

    /// After a [`kill`](Self::kill): on the same port, with the same data.
    ///
    /// # Panics
    /// It does not obey.
    pub fn start_again(&mut self) {
        self.command("start", "started");
    }

    fn command(&mut self, command: &str, answer: &str) {
        writeln!(self.commands, "{command}").expect("the watcher reads until we end");
        self.expect(answer).expect("etcd obeys");
    }

    /// Reads what the watcher says up to `answer`.
    fn expect(&mut self, answer: &str) -> Result<(), String> {
        let mut said = String::new();
        loop {
            let before = said.len();
            match self.answers.read_line(&mut said) {
                Ok(0) | Err(_) => return Err(said),
                Ok(_) if said[before..].trim_end() == answer => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // "exit" rather than the end of the pipe, which stays open as long as this value's field does.
        let _ = writeln!(self.commands, "exit");
        let _ = self.watcher.wait();
    }
}

/// Two that are free now.
fn free_ports() -> Result<[u16; 2], String> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [bind(), bind()];
    let mut ports = [0; 2];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        let address = listener.and_then(|listener| listener.local_addr());
        *port = address.map_err(|error| error.to_string())?.port();
    }
    Ok(ports)
}
