//! The service as a process on a CPU of its own, and what is seen of it from outside.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use mesh_config::format_duration;
use mesh_proto::payments::v1::{GetChargeRequest, payments_service_client::PaymentsServiceClient};
use mesh_tests::{Ports, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::load::Outcome;

/// How long the service may take to start.
const START: Duration = Duration::from_secs(20);
/// A probe that is not answered by then never is.
const PROBE: Duration = Duration::from_secs(5);

/// The running service; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Target {
    child: Child,
    admin: SocketAddr,
    client: PaymentsServiceClient<Channel>,
    _ports: Ports,
}

impl Target {
    /// Starts it on the first CPU and leaves the others to the caller, when there are others.
    pub(crate) async fn start(cost: Duration, limit: usize) -> anyhow::Result<Self> {
        let mut ports = Ports::default();
        let (listen, admin) = (ports.take(), ports.take());
        let cpus = cpu::mine()?;
        if let [first, _, ..] = cpus[..] {
            cpu::stay_on(&[first])?;
        }
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--die-with-parent"])
            .env_clear()
            .env("MESH_LISTEN_ADDR", listen.to_string())
            .env("MESH_ADMIN_ADDR", admin.to_string())
            .env("MESH_CONCURRENCY_LIMIT", limit.to_string())
            .env("MESH_WORK_TIME", format_duration(cost))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let [_, others @ ..] = &cpus[..]
            && !others.is_empty()
        {
            cpu::stay_on(others)?;
        }
        let channel = Endpoint::try_from(format!("http://{listen}"))?.connect_lazy();
        let target = Self {
            child,
            admin,
            client: PaymentsServiceClient::new(channel),
            _ports: ports,
        };
        eventually(START, "the service is ready", || target.get("/readyz")).await;
        ensure!(
            target.call().await == Outcome::Good,
            "the service does not answer"
        );
        Ok(target)
    }

    /// One call.
    pub(crate) fn call(&self) -> impl Future<Output = Outcome> + Send + use<> {
        let mut client = self.client.clone();
        async move {
            match client.get_charge(GetChargeRequest::default()).await {
                Ok(_) => Outcome::Good,
                Err(status) if status.code() == Code::ResourceExhausted => Outcome::Shed,
                Err(_) => Outcome::Failed,
            }
        }
    }

    /// One probe, on a connection of its own as the kubelet's.
    pub(crate) fn probe(&self) -> impl Future<Output = Outcome> + Send + use<> {
        let healthy = self.get("/healthz");
        async move {
            match healthy.await {
                Ok(()) => Outcome::Good,
                Err(_) => Outcome::Failed,
            }
        }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let pid = self.child.id().context("the service has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("/proc says nothing about memory")?.parse()?;
        Ok(kib * 1024)
    }

    fn get(&self, path: &'static str) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
        let admin = self.admin;
        async move {
            let answer = timeout(PROBE, async {
                let mut stream = TcpStream::connect(admin).await?;
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).await?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await?;
                anyhow::Ok(answer)
            });
            let answer = answer.await??;
            ensure!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
            Ok(())
        }
    }
}

#[cfg(target_os = "linux")]
mod cpu {
    //! Which CPUs this thread, and what it starts, may run on.

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn mine() -> anyhow::Result<Vec<usize>> {
        let set = sched_getaffinity(None)?;
        let cpus = 0..CpuSet::MAX_CPU;
        Ok(cpus.filter(|cpu| set.is_set(*cpu)).collect())
    }

    pub(super) fn stay_on(cpus: &[usize]) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod cpu {
    //! Other systems keep no thread on a CPU.

    pub(super) fn mine() -> anyhow::Result<Vec<usize>> {
        anyhow::bail!("this measures on Linux only")
    }

    pub(super) fn stay_on(_: &[usize]) -> anyhow::Result<()> {
        Ok(())
    }
}
