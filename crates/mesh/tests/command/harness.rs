//! Starts the command, waits for what it does, and leaves nothing behind.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use mesh_backing::Ports;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

/// Much longer than anything here takes, even on a machine that does other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Every port of `mesh up`.
const PORTS: [u16; 10] = [
    8080, 9460, 9461, 9462, 9463, 9464, 9465, 50051, 50052, 50053,
];

/// Where one mesh may live: a folder, and ports that no other test takes meanwhile.
pub(crate) struct Place {
    pub(crate) offset: u16,
    folder: TempDir,
    _ports: Ports,
}

impl Place {
    pub(crate) fn new() -> Self {
        let mut ports = Ports::default();
        Self {
            offset: ports.take_offset(&PORTS),
            folder: tempfile::tempdir().unwrap(),
            _ports: ports,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A process's port, shifted.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        loopback(port + self.offset)
    }

    /// Whether nobody listens on any port of the mesh.
    pub(crate) fn is_quiet(&self) -> bool {
        PORTS
            .iter()
            .all(|port| TcpListener::bind(self.address(*port)).is_ok())
    }

    /// Runs the command in the folder until it ends.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output();
        timeout(LIMIT, output).await.unwrap().unwrap()
    }

    /// As [`Self::run`], for `mesh up` on the place's own ports, which is expected to end by itself.
    pub(crate) async fn run_up(&self, args: &[&str]) -> Output {
        let offset = self.offset.to_string();
        self.run(&[&["up", "--port-offset", &offset], args].concat())
            .await
    }

    /// Starts `mesh up` and waits until it says that it is ready.
    pub(crate) async fn up(&self, args: &[&str]) -> Mesh<'_> {
        let mesh = self.start(args);
        eventually("the mesh is ready", || {
            mesh.output().contains("The mesh is ready")
        })
        .await;
        mesh
    }

    fn start(&self, args: &[&str]) -> Mesh<'_> {
        let output = self.path().join("output");
        let offset = self.offset.to_string();
        let process = self
            .command(&[&["up", "--port-offset", &offset], args].concat())
            .stdout(File::create(&output).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Mesh {
            place: self,
            process,
            output,
        }
    }

    /// As [`Self::run`], and does not wait.
    pub(crate) fn spawn(&self, args: &[&str], stdout: File) -> Child {
        self.command(args).stdout(stdout).spawn().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A `mesh up` that runs.
pub(crate) struct Mesh<'a> {
    place: &'a Place,
    process: Child,
    output: PathBuf,
}

/// One process of it, as `mesh.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

impl Mesh<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// All it has written so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.place.path().join(".mesh/mesh.json")
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap()
    }

    pub(crate) fn entry(&self, name: &str) -> Entry {
        self.entries()
            .into_iter()
            .find(|entry| entry.name == name)
            .unwrap()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.entries().iter().map(|entry| entry.pid).collect()
    }

    /// Ends it as the system does; says the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        signal(self.pid(), Signal::TERM);
        let status = timeout(LIMIT, self.process.wait()).await.unwrap().unwrap();
        status.code()
    }

    /// Kills it without a chance to clean up.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// Places an order for one piece; none if there was no answer.
pub(crate) async fn order(gateway: SocketAddr, sku: &str, key: &str) -> Option<Answer> {
    let body = format!(r#"{{"items":[{{"sku":"{sku}","quantity":1}}],"payment_token":"tok_ok"}}"#);
    let head = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    http(gateway, "POST", "/v1/orders", &head, &body).await
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .unwrap()
            .1
    }
}

/// One request on a connection of its own.
pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Option<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    };
    timeout(LIMIT, exchange).await.unwrap()
}

pub(crate) async fn is_ready(admin: SocketAddr) -> bool {
    let answer = http(admin, "GET", "/readyz", "", "").await;
    answer.is_some_and(|answer| answer.status == 200)
}

pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    eventually_async(what, async || condition()).await;
}

pub(crate) async fn eventually_async(what: &str, condition: impl AsyncFn() -> bool) {
    let end = Instant::now() + LIMIT;
    let mut looks = interval(LOOK_EVERY);
    while !condition().await {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        looks.tick().await;
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(os_pid(pid), signal).unwrap();
}

pub(crate) fn is_alive(pid: u32) -> bool {
    test_kill_process(os_pid(pid)).is_ok()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn os_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
