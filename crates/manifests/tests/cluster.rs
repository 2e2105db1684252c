//! The scripts that bring the manifests to a cluster, where there is none: stubs write down what they are told.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself has failed"
)]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// What every stub is, by the name it is called with.
const STUB: &str = r#"#!/usr/bin/env bash
echo "${0##*/} $*" >>"$HERE/calls"
case "${0##*/} $*" in
'kind get clusters') cat "$HERE/clusters" 2>/dev/null ;;
'kind create cluster --name '*) echo mesh >"$HERE/clusters" ;;
'istioctl version '*) echo 1.30.3 ;;
*' -o name') echo deployment.apps/one ;;
'kubectl apply -k istio/faults/'*) touch "$HERE/faulty" ;;
'kubectl apply -k istio/traffic') rm -f "$HERE/faulty" ;;
esac
"#;
/// Longer than anything takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine with stubs instead of tools.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn with(tools: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let stub = folder.path().join("stub");
        fs::write(&stub, STUB).unwrap();
        let mut chmod = Command::new("chmod");
        assert!(chmod.arg("+x").arg(&stub).status().unwrap().success());
        fs::create_dir(folder.path().join("bin")).unwrap();
        for tool in tools {
            symlink(&stub, folder.path().join("bin").join(tool)).unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a script; what it says goes to the file `said`.
    fn start(&self, script: &str, arguments: &[&str], path: &str) -> Child {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        let said = File::create(self.file("said")).unwrap();
        let mut command = Command::new(scripts.join(script));
        command.args(arguments);
        command.env("HERE", self.folder.path());
        command.env("PATH", format!("{}{path}", self.file("bin").display()));
        command.env_remove("KIND_CLUSTER");
        command.env_remove("KIND_EXPERIMENTAL_PROVIDER");
        command.stdout(said.try_clone().unwrap()).stderr(said);
        command.spawn().unwrap()
    }

    /// Runs a script to its end.
    fn run(&self, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut child = self.start(script, arguments, ":/usr/bin:/bin");
        let code = child.wait().unwrap().code();
        (code, self.said())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.file("said")).unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

/// All of these are there, in this order.
#[track_caller]
fn in_order(calls: &[String], wanted: &[&str]) {
    let mut rest = calls.iter();
    for start in wanted {
        let found = rest.any(|call| call.starts_with(start));
        assert!(found, "{start}: not there, or too early: {calls:#?}");
    }
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    for (script, arguments, wanted) in [
        (
            "cluster-up",
            &[][..],
            &["kind", "kubectl", "istioctl", "helm", "a container engine"][..],
        ),
        ("smoke", &[], &["kubectl", "curl", "jq"]),
        ("drill", &["payments-slow"], &["kubectl", "curl"]),
        ("load", &[], &["kubectl"]),
        ("cluster-down", &[], &["kind"]),
    ] {
        let machine = Machine::with(&[]);
        // Enough for a script to run at all.
        for tool in ["bash", "dirname"] {
            symlink(
                Path::new("/usr/bin").join(tool),
                machine.file("bin").join(tool),
            )
            .unwrap();
        }
        let code = machine.start(script, arguments, "").wait().unwrap().code();
        let said = machine.said();
        assert_eq!(code, Some(1), "{said}");
        for tool in wanted {
            let line = said.lines().find(|line| line.contains(tool));
            let line = line.unwrap_or_else(|| panic!("{script}: {tool} in {said}"));
            assert!(line.contains("https://"), "{line}");
        }
    }
}

#[test]
fn a_cluster_gets_what_the_mesh_needs_before_the_mesh() {
    let machine = Machine::with(&["kind", "kubectl", "istioctl", "helm", "docker"]);
    let (code, said) = machine.run("cluster-up", &["--no-images"]);
    assert_eq!(code, Some(0), "{said}");
    in_order(
        &machine.calls(),
        &[
            "kind create cluster --name mesh --image kindest/node:v1.35.",
            "kubectl --context kind-mesh create namespace istio-ingress",
            "istioctl --context kind-mesh install -y -f istio/install/istio-operator.yaml",
            "helm upgrade --install metrics-server",
            "helm upgrade --install keda",
            "kubectl --context kind-mesh apply -k deploy/overlays/kind",
            "kubectl --context kind-mesh -n observability rollout status deployment.apps/one",
            "kubectl --context kind-mesh -n shop rollout status deployment.apps/one",
        ],
    );
    assert!(said.contains("scripts/smoke"), "{said}");

    // Again: it upgrades what is there.
    fs::remove_file(machine.file("calls")).unwrap();
    let (code, said) = machine.run("cluster-up", &["--no-images"]);
    assert_eq!(code, Some(0), "{said}");
    let calls = machine.calls();
    assert!(!calls.iter().any(|call| call.starts_with("kind create")));
    in_order(&calls, &["istioctl", "helm", "helm", "kubectl"]);
}

/// A shop: 201 and 200, and while there is a fault 503, or nothing at all when it `hangs`.
struct Shop {
    address: SocketAddr,
    asked: Receiver<()>,
}

impl Shop {
    fn open(machine: &Machine, hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        let faulty = machine.file("faulty");
        thread::spawn(move || {
            // Those that get no answer stay open.
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                kept.extend(answer(stream.unwrap(), &faulty, hangs, &sender));
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One request and its answer; the connection when it gets none.
fn answer(
    stream: TcpStream,
    faulty: &Path,
    hangs: bool,
    asked: &Sender<()>,
) -> Option<BufReader<TcpStream>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let status = match (faulty.exists(), length) {
        (true, _) if hangs => {
            let _nobody_listens = asked.send(());
            return Some(reader);
        }
        (true, _) => "503 Service Unavailable",
        (false, 0) => "200 OK",
        (false, _) => "201 Created",
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(head.as_bytes()).unwrap();
    None
}

const APPLIED: &str = "kubectl apply -k istio/faults/inventory-refuses";
const TAKEN_AWAY: &str = "kubectl apply -k istio/traffic";

#[test]
fn a_drill_sees_the_fault_and_takes_it_away() {
    let machine = Machine::with(&["kubectl"]);
    let shop = Shop::open(&machine, false);
    let (code, said) = machine.run("drill", &["--url", &shop.url(), "inventory-refuses"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("10 of 10 were 503"), "{said}");
    assert!(said.contains("all is well again: 201"), "{said}");
    assert_eq!(machine.calls(), [APPLIED, TAKEN_AWAY]);
}

#[test]
fn a_drill_without_the_expected_end_fails_and_takes_the_fault_away() {
    let machine = Machine::with(&["kubectl"]);
    let shop = Shop::open(&machine, false);
    // 503 at once, where 202 after three seconds is expected.
    let arguments = ["--url", &shop.url(), "--limit", "1", "payments-hangs"];
    let (code, said) = machine.run("drill", &arguments);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not show as expected: 0 of 3"), "{said}");
    assert!(said.contains("others were 503"), "{said}");
    assert_eq!(machine.calls().last().unwrap(), TAKEN_AWAY);
}

#[test]
fn a_drill_that_is_interrupted_takes_the_fault_away() {
    let machine = Machine::with(&["kubectl"]);
    let shop = Shop::open(&machine, true);
    let arguments = ["--url", &shop.url(), "inventory-refuses"];
    let mut drill = machine.start("drill", &arguments, ":/usr/bin:/bin");
    shop.asked.recv_timeout(PATIENCE).unwrap();
    let mut kill = Command::new("kill");
    // As Ctrl-C is: that one is ignored by what a script starts in the background.
    kill.arg("-TERM").arg(drill.id().to_string());
    assert!(kill.status().unwrap().success());
    assert_eq!(drill.wait().unwrap().code(), Some(130));
    assert_eq!(machine.calls(), [APPLIED, TAKEN_AWAY]);
    assert!(!machine.file("faulty").exists());
}
