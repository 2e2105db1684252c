//! The mesh as it stands in a cluster, on one machine: servers, processes, and a link wherever one calls another.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use mesh_backing::{Kind, Options, Server};
use mesh_messaging::testing::{self, Process};
use mesh_tests::Ports;
use tempfile::TempDir;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use crate::{
    faults::again,
    link::Link,
    plan::{LINKS, SERVERS, SERVICES},
    service::{Service, process_of},
};

/// For a process to end in order on a busy machine: longer than its drain timeout.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// A broker that is killed sooner after its start may lose its queues' leaders, which no broker promises to keep.
const UP_FOR: Duration = Duration::from_secs(8);
/// From a server's end to its next start.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Everything that runs. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) services: BTreeMap<&'static str, Arc<Service>>,
    pub(crate) links: Vec<Link>,
    /// Our own connection to the queue, which no fault cuts.
    pub(crate) queue: Process,
    servers: BTreeMap<&'static str, Arc<Backing>>,
    urls: BTreeMap<&'static str, String>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    stopping: watch::Sender<bool>,
    supervisors: JoinSet<anyhow::Result<()>>,
    _ports: Ports,
    folder: TempDir,
}

#[derive(Debug)]
struct Backing {
    server: Mutex<Server>,
    /// Taken by whoever does something to it; since when it is up.
    since: tokio::sync::Mutex<Instant>,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Stopped,
}

impl Stage {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(seed_stock: u32) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mesh-chaos-").tempdir()?;
        let servers = start_servers(folder.path()).await?;
        let urls: BTreeMap<_, _> = servers
            .iter()
            .map(|(name, backing)| (*name, backing.lock().url()))
            .collect();
        let mut ports = Ports::default();
        let places: BTreeMap<_, _> = SERVICES
            .iter()
            .map(|name| (*name, (ports.take(), ports.take())))
            .collect();
        let mut links = Vec::new();
        for (from, to) in LINKS {
            let target = match urls.get(to) {
                Some(url) => address_in(url)?,
                None => places[to].0,
            };
            links.push(Link::open(from, to, target).await?);
        }
        let mut stage = Self {
            services: BTreeMap::new(),
            queue: Process::start(&testing::config(&urls["rabbitmq"])),
            links,
            servers,
            urls,
            addresses: places
                .iter()
                .map(|(name, (service, _))| (*name, *service))
                .collect(),
            stopping: watch::Sender::new(false),
            supervisors: JoinSet::new(),
            _ports: ports,
            folder,
        };
        for (name, (service, admin)) in places {
            let environment = stage.environment(name, service, admin, seed_stock)?;
            let service = Service::new(name, admin, environment, stage.folder.path());
            stage.supervise(Arc::new(service));
        }
        stage.all_ready().await?;
        Ok(stage)
    }

    fn supervise(&mut self, service: Arc<Service>) {
        let stopping = self.stopping.subscribe();
        self.services.insert(service.name, Arc::clone(&service));
        self.supervisors
            .spawn(async move { service.supervise(stopping).await });
    }

    /// All of a process's settings.
    fn environment(
        &self,
        name: &'static str,
        service: SocketAddr,
        admin: SocketAddr,
        seed_stock: u32,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let process = process_of(name);
        let mut settings: Vec<(&str, String)> = vec![
            ("MESH_LISTEN_ADDR", service.to_string()),
            ("MESH_ADMIN_ADDR", admin.to_string()),
            ("MESH_DRAIN_DELAY", "0s".to_owned()),
            ("MESH_DRAIN_TIMEOUT", "6s".to_owned()),
            ("MESH_WORK_TIME", "1ms".to_owned()),
            ("MESH_SEED_STOCK", seed_stock.to_string()),
            ("OTEL_SERVICE_NAME", process.to_owned()),
            ("TOKIO_WORKER_THREADS", "2".to_owned()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        if cfg!(debug_assertions) && ["gateway", "orders"].contains(&process) {
            // So many in flight are what a debug build on a busy machine can still answer in time. With more of them, all
            // customers of an outage asking again at once, it would answer none.
            settings.push(("MESH_CONCURRENCY_LIMIT", "32".to_owned()));
        }
        for link in self.links.iter().filter(|link| link.from == name) {
            let peer = |variable| (variable, format!("http://{}", link.address));
            let server = |variable| {
                let url = &self.urls[link.to];
                Ok::<_, anyhow::Error>((variable, via(url, link.address)?))
            };
            settings.push(match process_of(link.to) {
                "orders" => peer("MESH_ORDERS_URL"),
                "inventory" => peer("MESH_INVENTORY_URL"),
                "payments" => peer("MESH_PAYMENTS_URL"),
                "postgres" => server("MESH_STORE_URL")?,
                "rabbitmq" => server("MESH_QUEUE_URL")?,
                "redis" => server("MESH_SESSION_URL")?,
                _ => server("MESH_LEASE_URL")?,
            });
        }
        Ok(settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }

    pub(crate) async fn all_ready(&self) -> anyhow::Result<()> {
        for service in self.services.values() {
            service.ready().await?;
        }
        // Our own way to it, which is needed for looking at it.
        again(|| async { Ok(self.queue.queue.depth().await?) })
            .await
            .map(drop)
    }

    /// Where a process listens.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name]
    }

    /// Where a server listens, without a link in between.
    pub(crate) fn url(&self, server: &str) -> &str {
        &self.urls[server]
    }

    /// Ends a server, leaves it down for a moment, and starts it again.
    pub(crate) async fn restart(&self, server: &str, end: End) -> anyhow::Result<()> {
        let backing = Arc::clone(&self.servers[server]);
        let mut since = backing.since.lock().await;
        tokio::time::sleep_until(*since + UP_FOR).await;
        let own = Arc::clone(&backing);
        spawn_blocking(move || match end {
            End::Killed => own.lock().kill(),
            End::Stopped => own.lock().stop(),
        })
        .await?;
        sleep(DOWN_FOR).await;
        let own = Arc::clone(&backing);
        spawn_blocking(move || own.lock().start_again())
            .await?
            .with_context(|| format!("{server} does not start again"))?;
        *since = Instant::now();
        Ok(())
    }

    /// Ends every process in order, callers first.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        // One that died a moment ago could not be asked to end.
        self.all_ready().await?;
        self.stopping.send_replace(true);
        for process in ["fulfillment", "gateway", "orders", "inventory", "payments"] {
            let replicas = || {
                self.services
                    .values()
                    .filter(|s| process_of(s.name) == process)
            };
            replicas().for_each(|service| service.terminate());
            for service in replicas() {
                let ended = timeout(STOP_LIMIT, service.ended()).await;
                ensure!(
                    ended.is_ok(),
                    "{} does not end within {STOP_LIMIT:?}",
                    service.name
                );
            }
        }
        while let Some(supervisor) = self.supervisors.join_next().await {
            supervisor??;
        }
        Ok(())
    }

    /// Where the logs stay.
    pub(crate) fn keep_logs(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }
}

impl Backing {
    fn lock(&self) -> std::sync::MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start_servers(folder: &Path) -> anyhow::Result<BTreeMap<&'static str, Arc<Backing>>> {
    let mut starting = JoinSet::new();
    for name in SERVERS {
        let folder: PathBuf = folder.join(name);
        starting.spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            let options = Options {
                careless: true,
                ..Options::default()
            };
            let server = Server::start_with(kind(name), &folder, 0, options)?;
            anyhow::Ok((name, server))
        });
    }
    let mut servers = BTreeMap::new();
    while let Some(started) = starting.join_next().await {
        let (name, server) = started??;
        let backing = Backing {
            server: Mutex::new(server),
            since: tokio::sync::Mutex::new(Instant::now()),
        };
        servers.insert(name, Arc::new(backing));
    }
    Ok(servers)
}

fn kind(server: &str) -> Kind {
    match server {
        "postgres" => Kind::Postgres,
        "rabbitmq" => Kind::RabbitMq,
        "redis" => Kind::Redis,
        _ => Kind::Etcd,
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> Option<&str> {
    let (_scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    authority.rsplit('@').next()
}

fn address_in(url: &str) -> anyhow::Result<SocketAddr> {
    let address = authority(url).and_then(|authority| authority.parse().ok());
    // The URL may hold a password.
    address.context("the URL of a server of ours names no address")
}

/// The same URL by way of a link.
fn via(url: &str, link: SocketAddr) -> anyhow::Result<String> {
    let own = address_in(url)?.to_string();
    Ok(url.replacen(&own, &link.to_string(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_goes_by_way_of_a_link() {
        let link = "127.0.0.1:9".parse().unwrap();
        for (url, expected) in [
            ("etcd://127.0.0.1:2379", "etcd://127.0.0.1:9"),
            ("amqp://u:p@127.0.0.1:1/v", "amqp://u:p@127.0.0.1:9/v"),
        ] {
            assert_eq!(via(url, link).unwrap(), expected);
        }
        assert!(via("etcd://here", link).is_err());
    }
}
