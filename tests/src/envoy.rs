//! A real Envoy beside each process, as in a pod: `scripts/setup` fetches it, and it is told what istiod would tell it.

mod auth;
mod cluster;
mod config;
mod manifests;
mod meshed;
mod route;

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

pub use self::{
    cluster::Endpoint,
    config::{INGRESS, Inbound, Outbound, Sidecar, Tracing, sidecar_of},
    manifests::Istio,
    meshed::{Meshed, MeshedBuilder},
};
use crate::{
    Http, Ports, eventually,
    process::{Process, Program},
};

/// What Istio 1.30 and 1.31 bring.
pub const ENVOYS: [&str; 2] = ["1.38.3", "1.39.3"];
/// From start to ready: much longer than it takes.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running Envoy; dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Http,
    _folder: TempDir,
    _ports: Ports,
}

impl Envoy {
    /// Starts one of [`ENVOYS`] and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it is not there, ends, or does not become ready.
    pub async fn start(version: &str, sidecar: &Sidecar) -> Self {
        let binary = binary(version);
        assert!(
            binary.exists(),
            "no Envoy {version} at {}: run scripts/setup",
            binary.display()
        );
        let folder = tempfile::tempdir().expect("a folder to run in");
        let mut ports = Ports::default();
        let admin = ports.take();
        let file = folder.path().join("envoy.json");
        let config = sidecar.config(admin).to_string();
        fs::write(&file, config).expect("the folder is writable");
        let process = Process::start(&Program {
            name: &format!("envoy-of-{}", sidecar.service),
            binary: binary.to_str().expect("a path in UTF-8"),
            arguments: &[
                "--config-path",
                file.to_str().expect("a path in UTF-8"),
                "--concurrency",
                "1",
                // There is another Envoy on this machine.
                "--disable-hot-restart",
                "--log-level",
                "error",
            ],
            folder: folder.path(),
            environment: &[],
        });
        let mut envoy = Self {
            process,
            admin: Http::new(admin),
            _folder: folder,
            _ports: ports,
        };
        envoy.ready(version).await;
        envoy
    }

    async fn ready(&mut self, version: &str) {
        let process = &mut self.process;
        eventually(START_LIMIT, &format!("Envoy {version} is ready"), || {
            assert!(process.ended().is_none(), "it ended: {}", process.errors());
            let look = self.admin.get("/ready").try_send();
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

    /// One of its counters or gauges.
    ///
    /// # Panics
    ///
    /// When it has no such number.
    pub async fn stat(&self, name: &str) -> u64 {
        let text = self.admin.get("/stats").send().await.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = value.unwrap_or_else(|| panic!("no {name} among its numbers"));
        value.parse().expect("a number")
    }

    /// Ends it and insists that it ends well.
    pub async fn stop(&mut self) {
        self.process.stop().await;
    }
}

/// Where `scripts/setup` puts it.
fn binary(version: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    [root, "target/envoy", version, "envoy/_bin/envoy"]
        .iter()
        .collect()
}
