//! The supervisor with shell scripts as its children and a stand-in for their admin listener.

mod acts;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::timeout;

use super::*;
use crate::{
    child::Exit,
    cli::{Assignment, LogChoice},
    environment::Environment,
    logbook::{self, Logbook},
    ports::Addresses,
    terminal::tests::Screen,
    view::are_ready,
};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Lives until it is told to end, which it obeys.
pub(crate) const OBEDIENT: &str = "echo hello; exec sleep 600";

pub(crate) struct Fixture {
    pub(crate) handle: Handle,
    screen: Screen,
    terminal: Terminal,
    folder: tempfile::TempDir,
    /// What those who were said to be ready answer.
    pub(crate) admins: BTreeMap<Process, Arc<StandIn>>,
    _supervisor: JoinSet<()>,
}

impl Fixture {
    /// Every child runs `script`. Those in `ready` find somebody on their admin port who says that they are.
    pub(crate) fn new(script: &str, ready: &[Process]) -> Self {
        let port_offset = free_offset();
        let admins = ready.iter().map(|process| {
            let address = Addresses::known(*process, port_offset).admin;
            (*process, StandIn::start(address))
        });
        let admins = admins.collect();
        let screen = Screen::default();
        let terminal = screen.terminal(false);
        let at_once = Assignment {
            key: "MESH_DRAIN_TIMEOUT".to_owned(),
            value: "0s".to_owned(),
        };
        let launcher = Launcher {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Environment::new(&BTreeMap::new(), &[at_once], port_offset).unwrap(),
            port_offset,
            logs: LogChoice::All,
            logbook: Logbook::new(logbook::LIMIT),
            terminal: terminal.clone(),
        };
        let folder = tempfile::tempdir().unwrap();
        let (supervisor, handle) = Supervisor::new(launcher, MeshFile::in_folder(folder.path()));
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run());
        Self {
            handle,
            screen,
            terminal,
            folder,
            admins,
            _supervisor: tasks,
        }
    }

    pub(crate) async fn until(&self, such: impl Fn(&View) -> bool) {
        let awaited = timeout(LIMIT, self.handle.until(such)).await;
        assert!(awaited.is_ok(), "{:#?}", *self.handle.view().borrow());
    }

    fn pid(&self, id: ReplicaId) -> u32 {
        pid(&self.handle.view().borrow(), id).unwrap()
    }

    /// From now on the process's admin listener answers so.
    fn answer(&self, process: Process, status: u16) {
        self.admins[&process]
            .status
            .store(status, Ordering::Relaxed);
    }

    async fn screen(&self) -> String {
        self.terminal.flush(LIMIT).await;
        self.screen.text()
    }

    fn published(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("mesh.json")).unwrap()).unwrap()
    }
}

fn pid(view: &View, id: ReplicaId) -> Option<u32> {
    view.get(&id)?.process.map(|(pid, _)| pid)
}

fn names(view: &View) -> Vec<String> {
    view.keys().map(ToString::to_string).collect()
}

fn kill(pid: u32) {
    kill_process(os_pid(pid), Signal::KILL).unwrap();
}

fn os_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// One at which the ports of every process are free.
fn free_offset() -> u16 {
    (0..)
        .map(|_| Addresses::free(Process::Orders).unwrap().admin.port() % crate::ports::MAX_OFFSET)
        .find(|offset| crate::ports::taken(&Process::ALL, *offset).is_empty())
        .unwrap()
}

/// Stands for a process's admin listener, as long as the test's own process lives.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// What it answers to every request; [`SILENCE`]: nothing, ever.
    status: AtomicU16,
    probes: AtomicU64,
    scrapes: AtomicU64,
}

const SILENCE: u16 = 0;

impl StandIn {
    /// Says 200 until told otherwise.
    fn start(address: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind(address).unwrap();
        let admin = Arc::new(Self {
            status: AtomicU16::new(200),
            probes: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
        });
        let told = Arc::clone(&admin);
        thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                match admin.status.load(Ordering::Relaxed) {
                    SILENCE => unanswered.push(stream),
                    status => admin.answer(&mut stream, status),
                }
            }
        });
        told
    }

    fn answer(&self, stream: &mut TcpStream, status: u16) {
        let lines = BufReader::new(&mut *stream).lines();
        let head = lines.map_while(Result::ok);
        let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
        let is_scrape = head.first().is_some_and(|line| line.contains("/metrics"));
        let counter = if is_scrape {
            &self.scrapes
        } else {
            &self.probes
        };
        let count = counter.fetch_add(1, Ordering::Relaxed);
        let body = if is_scrape {
            format!("http_requests_total {count}\n")
        } else {
            r#"{"status":"not ready","waiting_for":["shutdown"]}"#.to_owned()
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} Any\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let _gone = stream.write_all(answer.as_bytes());
    }

    /// How often it was asked whether it is ready.
    pub(crate) fn probes(&self) -> u64 {
        self.probes.load(Ordering::Relaxed)
    }

    /// How often it was asked what it counts.
    pub(crate) fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_killed_child_is_replaced_and_the_others_are_left_alone() {
    let mesh = Fixture::new(OBEDIENT, &[Process::Orders, Process::Payments]);
    let orders = ReplicaId::first(Process::Orders);
    let payments = ReplicaId::first(Process::Payments);
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.handle.scale(Process::Payments, 1).await;
    mesh.until(|view| are_ready(view, Process::Orders, 1) && are_ready(view, Process::Payments, 1))
        .await;
    mesh.handle.publish().await;
    let (killed, untouched) = (mesh.pid(orders), mesh.pid(payments));
    assert_eq!(mesh.published()[0]["pid"], killed);

    kill(killed);
    mesh.until(|view| pid(view, orders) != Some(killed) && are_ready(view, Process::Orders, 1))
        .await;

    assert_eq!(mesh.pid(payments), untouched);
    assert_eq!(mesh.published()[0]["pid"], mesh.pid(orders));
    assert_eq!(mesh.published()[1]["pid"], untouched);
    let screen = mesh.screen().await;
    let report =
        "orders      was killed by signal 9 (SIGKILL); starts again in 0.20 s\n  | hello\n";
    assert!(screen.contains(report), "{screen}");
    assert!(screen.contains("orders      ready again in "), "{screen}");
}

#[tokio::test]
async fn a_child_that_cannot_start_is_a_failure_with_its_own_words() {
    let mesh = Fixture::new("echo address in use >&2; exit 3", &[]);
    let orders = ReplicaId::first(Process::Orders);
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| view[&orders].failure.is_some()).await;
    let failure = mesh.handle.view().borrow()[&orders]
        .failure
        .clone()
        .unwrap();
    assert_eq!(failure.exit, Some(Exit::Code(3)));
    assert_eq!(failure.last_lines, ["address in use"]);
}

#[tokio::test]
async fn replicas_come_and_go_while_others_stay() {
    let mesh = Fixture::new(OBEDIENT, &[Process::Orders]);
    mesh.handle.publish().await;
    let has_pids = |view: &View| view.values().all(|status| status.process.is_some());
    mesh.handle.scale(Process::Orders, 3).await;
    mesh.until(has_pids).await;
    assert_eq!(
        names(&mesh.handle.view().borrow()),
        ["orders", "orders-2", "orders-3"]
    );
    let published = mesh.published();
    assert_eq!(published[1]["name"], "orders-2");
    assert_ne!(published[1]["grpc"], published[0]["grpc"]);
    let first = mesh.pid(ReplicaId::first(Process::Orders));

    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| view.len() == 1).await;
    assert_eq!(mesh.pid(ReplicaId::first(Process::Orders)), first);
    assert_eq!(mesh.published().as_array().unwrap().len(), 1);

    mesh.handle.scale(Process::Orders, 0).await;
    mesh.until(View::is_empty).await;
    assert!(test_kill_process(os_pid(first)).is_err(), "it must be gone");
}

#[tokio::test]
async fn a_replica_that_is_wanted_again_while_it_stops_comes_back() {
    let mesh = Fixture::new(OBEDIENT, &[Process::Orders]);
    let orders = ReplicaId::first(Process::Orders);
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    let before = mesh.pid(orders);
    mesh.handle.scale(Process::Orders, 0).await;
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| pid(view, orders).is_some_and(|pid| pid != before))
        .await;
}

#[tokio::test]
async fn who_does_not_stop_in_time_is_killed() {
    let mesh = Fixture::new(
        "trap '' TERM; echo deaf; while :; do sleep 600; done",
        &[Process::Orders],
    );
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    let deaf = async { while !mesh.screen().await.contains("deaf") {} };
    timeout(LIMIT, deaf).await.unwrap();
    // Now the time that it has passes at once.
    tokio::time::pause();
    mesh.handle.scale(Process::Orders, 0).await;
    mesh.handle.until(View::is_empty).await;
    tokio::time::resume();
    let screen = mesh.screen().await;
    assert!(screen.contains("did not stop in time: killed"), "{screen}");
    assert!(
        screen.contains(": it was killed by signal 9 (SIGKILL)"),
        "{screen}"
    );
}

#[tokio::test]
async fn killing_all_waits_for_nobody() {
    let mesh = Fixture::new("trap '' TERM; while :; do sleep 600; done", &[]);
    mesh.handle.scale(Process::Orders, 2).await;
    mesh.handle.scale(Process::Gateway, 1).await;
    mesh.until(|view| view.values().all(|status| status.process.is_some()))
        .await;
    mesh.handle.kill_all().await;
    mesh.until(View::is_empty).await;
}
