//! A real process, from outside: exit codes, signals, probes. The process is `examples/tiny.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

/// Longer than anything here takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The example, which `cargo test` builds before it runs the tests of the whole package; with `--test process` alone,
/// `cargo build --examples` comes first.
fn tiny() -> Command {
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

struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// The lines that were read so far.
    log: Vec<Value>,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Running {
    /// Until it says where it listens.
    async fn start(command: &mut Command) -> Self {
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

    async fn ready(command: &mut Command) -> Self {
        let running = Self::start(command).await;
        running.becomes("/readyz", 200).await;
        running
    }

    /// Reads the log up to the first line with this message.
    async fn logged(&mut self, message: &str) -> Value {
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

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the end; the rest of the log is read.
    async fn ended(&mut self) -> ExitStatus {
        let ending = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                self.log
                    .push(serde_json::from_str(&line).expect("every line is JSON"));
            }
            self.child.wait().await.unwrap()
        };
        timeout(LIMIT, ending).await.expect("the process ends")
    }

    fn messages(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect()
    }

    async fn becomes(&self, path: &str, status: u16) {
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
async fn get(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
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
async fn in_flight(
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

async fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn settings_are_checked_and_shown_without_starting() {
    let (code, settings, problems) = output(
        tiny()
            .arg("--check-config")
            .env("MESH_STORE_URL", "sqlite://shop:hunter2@here"),
    )
    .await;
    assert_eq!((code, problems.as_str()), (Some(0), ""));
    for line in [
        "MESH_REQUEST_TIMEOUT=5s",
        "MESH_STORE_URL=sqlite://***@here",
        "TOKIO_WORKER_THREADS=2",
        "RUST_LOG=info",
    ] {
        assert!(
            settings.lines().any(|shown| shown == line),
            "{line} in\n{settings}"
        );
    }
    for args in [&["--check-config"][..], &[]] {
        let mut command = tiny();
        command
            .args(args)
            .env("MESH_REQUEST_TIMEOUT", "5")
            .env("MESH_DRIAN_DELAY", "1s");
        let (code, settings, problems) = output(&mut command).await;
        assert_eq!((code, settings.as_str()), (Some(64), ""));
        let lines: Vec<_> = problems.lines().collect();
        assert_eq!(lines.len(), 2, "{problems}");
        assert!(
            lines[0].starts_with("tiny: MESH_REQUEST_TIMEOUT=\"5\": "),
            "{problems}"
        );
        assert_eq!(
            lines[1],
            "tiny: MESH_DRIAN_DELAY: no such setting; did you mean MESH_DRAIN_DELAY?"
        );
    }
    assert_eq!(output(tiny().arg("--nonsense")).await.0, Some(64));
    assert!(output(tiny().arg("--version")).await.1.starts_with("tiny "));
    assert!(
        output(tiny().arg("--help"))
            .await
            .1
            .contains("--check-config")
    );
}

#[tokio::test]
async fn an_address_in_use_fails_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    for name in ["MESH_LISTEN_ADDR", "MESH_ADMIN_ADDR"] {
        let (code, _, problem) = output(tiny().env(name, addr.to_string())).await;
        assert_eq!(code, Some(1), "{name}");
        assert!(
            problem.contains(&format!("cannot listen on {addr}: ")),
            "{name}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_process_starts_without_its_store_and_is_ready_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("tiny.db");
    let url = format!("sqlite://{}", store.display());
    let running = Running::start(tiny().env("MESH_STORE_URL", url)).await;
    assert_eq!(get(running.admin, "/healthz").await.unwrap().0, 200);
    let (status, body) = get(running.admin, "/readyz").await.unwrap();
    let waiting: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, waiting),
        (
            503,
            json!({"status": "not ready", "waiting_for": ["store"]})
        )
    );
    assert_eq!(
        get(running.http, "/hello").await.unwrap(),
        (200, "hello\n".to_owned())
    );
    std::fs::write(&store, "").unwrap();
    running.becomes("/readyz", 200).await;
}

#[tokio::test]
async fn a_signal_lets_requests_finish_and_the_exit_code_is_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Running::ready(&mut tiny()).await;
        let slow = in_flight(&running, "/slow").await;
        running.signal(signal);
        running.becomes("/readyz", 503).await;
        assert!(
            get(running.admin, "/readyz")
                .await
                .unwrap()
                .1
                .contains("[\"shutdown\"]")
        );
        assert_eq!(slow.await.unwrap(), (200, "slow\n".to_owned()));
        assert_eq!(running.ended().await.code(), Some(0));
        let messages = running.messages();
        assert!(
            messages.contains(&"request") && messages.ends_with(&["stopped"]),
            "{messages:?}"
        );
    }
}

#[tokio::test]
async fn listeners_go_on_serving_for_the_drain_delay() {
    let mut command = tiny();
    let running = Running::ready(command.env("MESH_DRAIN_DELAY", "10s")).await;
    running.signal(Signal::TERM);
    running.becomes("/readyz", 503).await;
    assert_eq!(get(running.http, "/hello").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_request_that_outlives_the_drain_timeout_is_cut_and_named_and_the_exit_code_is_1() {
    let mut command = tiny();
    command
        .env("MESH_DRAIN_TIMEOUT", "300ms")
        .env("MESH_REQUEST_TIMEOUT", "250ms");
    let mut running = Running::ready(&mut command).await;
    // The handler is dropped at its deadline, the section is not.
    let charge = in_flight(&running, "/charge").await;
    let begin = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "the cap holds: {:?}",
        begin.elapsed()
    );
    let cut: Vec<_> = running
        .log
        .iter()
        .filter(|line| line["message"] == "cut")
        .collect();
    assert!(cut.iter().any(|line| line["what"] == "charge"), "{cut:?}");
    drop(charge);
}

#[tokio::test]
async fn a_section_is_finished_although_its_caller_is_gone() {
    let mut running = Running::ready(&mut tiny()).await;
    drop(in_flight(&running, "/charge").await);
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(0));
    assert!(
        running.messages().contains(&"charged"),
        "{:?}",
        running.messages()
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut command = tiny();
    let mut running = Running::ready(command.env("MESH_DRAIN_DELAY", "10s")).await;
    running.signal(Signal::TERM);
    running.logged("draining").await;
    let begin = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn probes_are_answered_and_the_process_ends_while_the_main_runtime_is_stuck() {
    let mut command = tiny();
    command
        .env("MESH_DRAIN_TIMEOUT", "600ms")
        .env("MESH_REQUEST_TIMEOUT", "500ms");
    let mut running = Running::ready(&mut command).await;
    let request = tokio::task::JoinSet::from_iter([get(running.http, "/block")]);
    let stuck = async {
        // Nobody answers on the main runtime any more.
        while timeout(Duration::from_millis(200), get(running.http, "/hello"))
            .await
            .is_ok()
        {}
    };
    timeout(LIMIT, stuck).await.expect("the runtime gets stuck");
    for path in ["/healthz", "/metrics", "/readyz"] {
        let begin = Instant::now();
        assert_eq!(get(running.admin, path).await.unwrap().0, 200, "{path}");
        assert!(
            begin.elapsed() < Duration::from_millis(500),
            "{path}: {:?}",
            begin.elapsed()
        );
    }
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(1));
    assert_eq!(running.messages().last(), Some(&"stopped"));
    drop(request);
}

#[tokio::test]
async fn a_lost_task_that_the_process_needs_ends_it_with_1() {
    let mut running = Running::ready(&mut tiny()).await;
    get(running.http, "/fail").await.unwrap();
    assert_eq!(running.ended().await.code(), Some(1));
    let panic = running
        .log
        .iter()
        .find(|line| line["message"] == "panic")
        .expect("the panic is logged");
    assert_eq!(panic["panic"], "as asked");
    assert!(panic["place"].as_str().unwrap().contains("tiny.rs"));
}

#[tokio::test]
async fn a_process_ends_with_its_parent_when_it_is_told_to() {
    let mut command = tiny();
    let mut running = Running::ready(command.arg("--die-with-parent").stdin(Stdio::piped())).await;
    drop(running.child.stdin.take());
    assert_eq!(running.logged("draining").await["by"], "end of the parent");
    assert_eq!(running.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_dead_collector_costs_dropped_spans_and_nothing_else() {
    // Bound and closed again: nobody listens there.
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = tiny();
    let mut running =
        Running::ready(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nowhere}")))
            .await;
    for _ in 0..3 {
        assert_eq!(get(running.http, "/hello").await.unwrap().0, 200);
    }
    let counted = async {
        while !get(running.admin, "/metrics")
            .await
            .unwrap()
            .1
            .contains("spans_dropped_total 3")
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, counted)
        .await
        .expect("three spans are dropped");
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code(), Some(0));
    let warnings = running
        .log
        .iter()
        .filter(|line| line["level"] == "WARN")
        .count();
    assert_eq!(warnings, 1, "{:#?}", running.log);
}
