//! The whole mesh as people start it: `mesh up` in a folder of its own, on ports of its own.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    Http, Metrics, Ports, eventually,
    process::{Process, Program, built, kill},
};

/// From start to ready: much longer than it takes, even on a machine that does other things.
const START_LIMIT: Duration = Duration::from_secs(180);
/// Longer than any command takes that is not `mesh up`.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Every port of `mesh up` without an offset.
const PORTS: [u16; 10] = [
    8080, 9460, 9461, 9462, 9463, 9464, 9465, 50_051, 50_052, 50_053,
];

/// A running mesh; dropping it kills it.
#[derive(Debug)]
pub struct Mesh {
    process: Process,
    folder: TempDir,
    _ports: Ports,
}

/// How to start it.
#[derive(Debug, Default)]
pub struct MeshBuilder {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Option<TempDir>,
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub text: String,
    /// What it wrote to stderr.
    pub errors: String,
}

/// One line of `.mesh/mesh.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The process, with a number from its second replica on.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// Where it serves HTTP.
    pub http: Option<SocketAddr>,
    /// Where it serves gRPC.
    pub grpc: Option<SocketAddr>,
    /// Where its admin listener is.
    pub admin: SocketAddr,
}

impl Mesh {
    /// Starts it with its defaults.
    pub async fn start() -> Self {
        MeshBuilder::default().start().await
    }

    /// How to start it otherwise.
    #[must_use]
    pub fn builder() -> MeshBuilder {
        MeshBuilder::default()
    }

    /// Who runs now, as `.mesh/mesh.json` says; nobody while there is no such file.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let text = fs::read(self.file()).unwrap_or_default();
        let list: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
        list.iter().map(member).collect()
    }

    /// One of those who run now.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    pub fn member(&self, name: &str) -> Member {
        let member = self
            .members()
            .into_iter()
            .find(|member| member.name == name);
        member.unwrap_or_else(|| panic!("{name} is not in mesh.json"))
    }

    /// A client of the gateway.
    #[must_use]
    pub fn gateway(&self) -> Http {
        Http::new(
            self.member("gateway")
                .http
                .expect("the gateway serves HTTP"),
        )
    }

    /// Where its page for people is: shifted as far as the gateway.
    ///
    /// # Panics
    ///
    /// When there is no gateway.
    #[must_use]
    pub fn page_address(&self) -> SocketAddr {
        let gateway = self.member("gateway").http;
        let mut page = gateway.expect("the gateway serves HTTP");
        page.set_port(page.port() - PORTS[0] + PORTS[1]);
        page
    }

    /// What a process counts now.
    pub async fn metrics(&self, name: &str) -> Metrics {
        let answer = Http::new(self.member(name).admin)
            .get("/metrics")
            .send()
            .await
            .expect_status(200);
        Metrics::parse(&answer.text()).expect("what Prometheus reads")
    }

    /// The process that holds it together.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where it runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `.mesh/mesh.json`.
    #[must_use]
    pub fn file(&self) -> std::path::PathBuf {
        self.folder().join(".mesh/mesh.json")
    }

    /// Waits until a process answers that it is ready.
    pub async fn ready(&self, name: &str, limit: Duration) {
        eventually(limit, &format!("{name} is ready"), || async {
            let member = self
                .members()
                .into_iter()
                .find(|member| member.name == name)
                .ok_or("not in mesh.json")?;
            match Http::new(member.admin).get("/readyz").try_send().await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(_) => Err("not ready"),
                Err(_) => Err("no answer"),
            }
        })
        .await;
    }

    /// A client of its page for people.
    #[must_use]
    pub fn page(&self) -> Http {
        Http::new(self.page_address())
    }

    /// Runs another command (`mesh trace …`) in its folder until that ends.
    ///
    /// # Panics
    ///
    /// When it does not start or does not end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(built("tested-mesh"));
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ended = timeout(COMMAND_LIMIT, command.output()).await;
        let output = ended
            .unwrap_or_else(|_| panic!("mesh {arguments:?} does not end within {COMMAND_LIMIT:?}"))
            .expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
        Output {
            code: output.status.code(),
            text: text(output.stdout),
            errors: text(output.stderr),
        }
    }

    /// Kills one of its processes (SIGKILL).
    pub fn kill(&self, member: &Member) {
        kill(member.pid, Signal::KILL);
    }

    /// Ends it and insists that it ends well and cleans up; its folder, for another in its place.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn stop(mut self) -> TempDir {
        self.process.stop().await;
        assert!(!self.file().exists(), "mesh.json is still there");
        self.folder
    }
}

impl MeshBuilder {
    /// Adds an argument to `mesh up`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A setting of every process.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it where another has run.
    #[must_use]
    pub fn folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it ends or does not become ready.
    pub async fn start(self) -> Mesh {
        let folder = self
            .folder
            .unwrap_or_else(|| tempfile::tempdir().expect("a folder to run in"));
        let mut ports = Ports::default();
        let offset = ports.take_offset(&PORTS).to_string();
        let arguments: Vec<_> = ["up", "--port-offset", &offset]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
            .collect();
        let process = Process::start(&Program {
            name: "mesh",
            binary: "tested-mesh",
            arguments: &arguments,
            folder: folder.path(),
            environment: &self.environment,
        });
        let mut mesh = Mesh {
            process,
            folder,
            _ports: ports,
        };
        eventually(START_LIMIT, "mesh.json names the gateway", || {
            assert!(
                mesh.process.ended().is_none(),
                "mesh up ended: {}",
                mesh.process.errors()
            );
            let found = mesh.members();
            async move {
                if found.iter().any(|member| member.name == "gateway") {
                    Ok(())
                } else {
                    Err(found)
                }
            }
        })
        .await;
        for member in mesh.members() {
            mesh.ready(&member.name, START_LIMIT).await;
        }
        mesh
    }
}

fn member(entry: &Value) -> Member {
    let address = |kind: &str| {
        let text = entry[kind].as_str()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{kind} is not host:port: {entry}")),
        )
    };
    Member {
        name: entry["name"].as_str().expect("a name").to_owned(),
        pid: entry["pid"]
            .as_u64()
            .and_then(|pid| pid.try_into().ok())
            .expect("an id"),
        http: address("http"),
        grpc: address("grpc"),
        admin: address("admin").expect("every process has an admin listener"),
    }
}
