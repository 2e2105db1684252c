//! The example as a real process, and how a test talks to it.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// Longer than anything here takes on a slow machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The example, which `cargo test` builds before it runs the tests of the whole package; with `--test process` alone,
/// `cargo build --examples` comes first.
pub(crate) fn tiny() -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples").join("tiny"));
    command
        .env_clear()
        .env("MESH_ADMIN_ADDR", "127.0.0.1:0")
        .env("MESH_DRAIN_DELAY", "0s")
        .env("TOKIO_WORKER_THREADS", "2")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// The lines that were read so far.
    pub(crate) log: Vec<Value>,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Running {
    /// Until it says where it listens.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("cargo has built the example");
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut running = Self {
            child,
            stdout,
            log: Vec::new(),
            http: nowhere,
            admin: nowhere,
        };
        let said = running.logged("starting").await;
        let addr = |key: &str| said[key].as_str().unwrap().parse().unwrap();
        (running.http, running.admin) = (addr("listen"), addr("admin"));
        running
    }

    pub(crate) async fn ready(command: &mut Command) -> Self {
        let running = Self::start(command).await;
        running.becomes("/readyz", 200).await;
        running
    }

    /// Reads the log up to the first line with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        let reading = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).expect("every line is JSON");
                self.log.push(line.clone());
                if line["message"] == message {
                    return line;
                }
            }
            panic!("ended without saying {message:?}: {:#?}", self.log)
        };
        timeout(LIMIT, reading).await.expect("the line comes")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the end; the rest of the log is read.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ending = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                self.log
                    .push(serde_json::from_str(&line).expect("every line is JSON"));
            }
            self.child.wait().await.unwrap()
        };
        timeout(LIMIT, ending).await.expect("the process ends")
    }

    pub(crate) fn messages(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect()
    }

    pub(crate) async fn becomes(&self, path: &str, status: u16) {
        let mut last = None;
        let asking = async {
            while last.as_ref().is_none_or(|(is, _)| *is != status) {
                last = Some(get(self.admin, path).await.unwrap());
                sleep(Duration::from_millis(10)).await;
            }
        };
        let limited = timeout(LIMIT, asking).await;
        assert!(limited.is_ok(), "{path} never became {status}: {last:?}");
    }
}

/// Status and body of a `GET`.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: tiny\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}

/// Sends a request and waits until the process works on it.
pub(crate) async fn in_flight(
    running: &Running,
    path: &'static str,
) -> impl Future<Output = io::Result<(u16, String)>> + use<> {
    let request = tokio::task::JoinSet::from_iter([get(running.http, path)]);
    let counted = async {
        while !get(running.admin, "/metrics")
            .await
            .unwrap()
            .1
            .contains("http_requests_in_flight 1")
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, counted).await.expect("the request arrives");
    async move { request.join_all().await.remove(0) }
}

pub(crate) async fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
