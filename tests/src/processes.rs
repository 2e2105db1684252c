//! The processes of the mesh, started one by one with `mesh run`, so that a test can replace any of them and reads their
//! logs as they are.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Http, Metrics, Ports, eventually,
    process::{Process, Program},
};

/// From start to ready: much longer than it takes, even on a machine that does other things.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The address of peers that are away: nothing listens on it.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// Whom each process calls.
const PEERS: [&str; 3] = ["orders", "inventory", "payments"];
/// All of them, those that are called first.
const ALL: [&str; 4] = ["payments", "inventory", "orders", "gateway"];

/// Running processes; dropping them kills them.
#[derive(Debug)]
pub struct Processes {
    running: BTreeMap<&'static str, Running>,
    // Kept until the processes are gone.
    folder: TempDir,
    _ports: Ports,
}

#[derive(Debug)]
struct Running {
    process: Process,
    service: SocketAddr,
    admin: SocketAddr,
    environment: Vec<(String, String)>,
}

/// What to start, and with which settings.
#[derive(Debug)]
pub struct ProcessesBuilder {
    names: Vec<&'static str>,
    settings: Vec<(Option<&'static str>, String, String)>,
    peers: BTreeMap<&'static str, SocketAddr>,
    wait: bool,
}

impl Processes {
    /// Starts all of them with their defaults.
    pub async fn start() -> Self {
        Self::all().start().await
    }

    /// All that an order needs; without fulfillment, which would change it once it is placed.
    #[must_use]
    pub fn all() -> ProcessesBuilder {
        Self::only(&ALL)
    }

    /// Some of them. `relay` is one that takes the place of payments and calls payments in turn ([`crate::Relay`]);
    /// `orders-2` is a second replica of orders; it calls the second replicas of its peers, where there are such.
    #[must_use]
    pub fn only(names: &[&'static str]) -> ProcessesBuilder {
        ProcessesBuilder {
            names: names.to_vec(),
            settings: Vec::new(),
            peers: BTreeMap::new(),
            wait: true,
        }
    }

    /// A client of the gateway.
    #[must_use]
    pub fn gateway(&self) -> Http {
        self.http("gateway")
    }

    /// A client of a process that serves HTTP.
    #[must_use]
    pub fn http(&self, name: &str) -> Http {
        Http::new(self.address(name))
    }

    /// Where a process listens.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddr {
        self.running[name].service
    }

    /// A client of a process's admin listener.
    #[must_use]
    pub fn admin(&self, name: &str) -> Http {
        Http::new(self.admin_address(name))
    }

    /// Where a process's admin listener is.
    #[must_use]
    pub fn admin_address(&self, name: &str) -> SocketAddr {
        self.running[name].admin
    }

    /// What a process counts now.
    pub async fn metrics(&self, name: &str) -> Metrics {
        let answer = self
            .admin(name)
            .get("/metrics")
            .send()
            .await
            .expect_status(200);
        Metrics::parse(&answer.text()).expect("what Prometheus reads")
    }

    /// The lines a process has logged so far.
    #[must_use]
    pub fn logs(&self, name: &str) -> Vec<Value> {
        self.running[name].process.logs()
    }

    /// A process.
    pub fn process(&mut self, name: &str) -> &mut Process {
        &mut self.running.get_mut(name).expect("it was started").process
    }

    /// Where they run and keep their state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends them all, callers first, and insists that each ends well; what they logged can still be read.
    pub async fn stop(&mut self) {
        for service in ["fulfillment"]
            .iter()
            .chain(ALL.iter().rev())
            .chain(&["relay"])
        {
            for (name, running) in &mut self.running {
                if service_of(name) == *service {
                    running.process.stop().await;
                }
            }
        }
    }

    /// Kills one (SIGKILL) and starts it again on the same ports.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn kill(&mut self, name: &'static str) {
        self.process(name).kill().await;
        self.start_again(name).await;
    }

    /// Starts one that has ended, on the same ports.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn start_again(&mut self, name: &'static str) {
        let running = self.running.get_mut(name).expect("it was started");
        running.process = launch(name, self.folder.path(), &running.environment);
        ready(name, running).await;
    }

    /// Ends one, insists that it ends well, and starts it again on the same ports; what both logged can be read.
    ///
    /// # Panics
    ///
    /// When it does not end well or does not become ready.
    pub async fn restart(&mut self, name: &'static str) {
        self.process(name).stop().await;
        self.start_again(name).await;
    }
}

impl ProcessesBuilder {
    /// A setting of every process.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((None, name.to_owned(), value.into()));
        self
    }

    /// A setting of one process.
    #[must_use]
    pub fn set_of(mut self, process: &'static str, name: &str, value: impl Into<String>) -> Self {
        self.settings
            .push((Some(process), name.to_owned(), value.into()));
        self
    }

    /// Somebody else takes the place of a process.
    #[must_use]
    pub fn peer(mut self, name: &'static str, address: SocketAddr) -> Self {
        self.names.retain(|own| *own != name);
        self.peers.insert(name, address);
        self
    }

    /// Does not wait until they are ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Starts them and waits until each is ready.
    ///
    /// # Panics
    ///
    /// When one ends or does not become ready.
    pub async fn start(self) -> Processes {
        let folder = tempfile::tempdir().expect("a folder to run in");
        let mut ports = Ports::default();
        let addresses: BTreeMap<_, _> = self
            .names
            .iter()
            .map(|name| (*name, (ports.take(), ports.take())))
            .collect();
        let running = self.names.iter().map(|name| {
            let (service, admin) = addresses[name];
            let environment = self.environment(name, &addresses);
            (
                *name,
                Running {
                    process: launch(name, folder.path(), &environment),
                    service,
                    admin,
                    environment,
                },
            )
        });
        let mut processes = Processes {
            running: running.collect(),
            folder,
            _ports: ports,
        };
        if self.wait {
            for (name, running) in &mut processes.running {
                ready(name, running).await;
            }
        }
        processes
    }

    fn environment(
        &self,
        name: &'static str,
        addresses: &BTreeMap<&str, (SocketAddr, SocketAddr)>,
    ) -> Vec<(String, String)> {
        let (service, admin) = addresses[name];
        let mut settings = vec![
            ("MESH_LISTEN_ADDR".to_owned(), service.to_string()),
            ("MESH_ADMIN_ADDR".to_owned(), admin.to_string()),
            ("MESH_DRAIN_DELAY".to_owned(), "0s".to_owned()),
            ("MESH_DRAIN_TIMEOUT".to_owned(), "6s".to_owned()),
            ("OTEL_SERVICE_NAME".to_owned(), service_of(name).to_owned()),
        ];
        let replica = name.strip_prefix(service_of(name)).unwrap_or_default();
        for peer in PEERS {
            let same_replica = format!("{peer}{replica}");
            // The relay stands between orders and payments.
            let process =
                if peer == "payments" && name != "relay" && addresses.contains_key("relay") {
                    "relay"
                } else if addresses.contains_key(same_replica.as_str()) {
                    &same_replica
                } else {
                    peer
                };
            let own = addresses.get(process).map(|(service, _admin)| *service);
            let address = own
                .or_else(|| self.peers.get(peer).copied())
                .unwrap_or(NOWHERE);
            settings.push((
                format!("MESH_{}_URL", peer.to_uppercase()),
                format!("http://{address}"),
            ));
        }
        let given = self
            .settings
            .iter()
            .filter(|(of, _, _)| of.is_none_or(|of| of == service_of(name)));
        settings.extend(given.map(|(_, name, value)| (name.clone(), value.clone())));
        settings
    }
}

fn launch(name: &str, folder: &Path, environment: &[(String, String)]) -> Process {
    let (binary, arguments) = match service_of(name) {
        "relay" => ("relay", &[][..]),
        service => ("tested-mesh", &["run", service][..]),
    };
    Process::start(&Program {
        name,
        binary,
        arguments,
        folder,
        environment,
    })
}

/// What a process is a replica of.
fn service_of(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

async fn ready(name: &str, running: &mut Running) {
    let admin = Http::new(running.admin);
    let process = &mut running.process;
    eventually(START_LIMIT, &format!("{name} is ready"), || {
        assert!(
            process.ended().is_none(),
            "{name} ended: {}",
            process.errors()
        );
        let look = admin.get("/readyz").try_send();
        async move {
            match look.await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(format!("{error:#}")),
            }
        }
    })
    .await;
}
