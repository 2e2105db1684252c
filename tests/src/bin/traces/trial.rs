//! The course of a measurement.

use std::{
    fs,
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use mesh_load::{Generator, Mix, Plan, Rate};
use mesh_tests::{Http, Mesh, Shop, eventually};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

use crate::{
    page::{Page, Seen, Stats},
    spans::{BATCH, Exporter},
    throughput::Customers,
};

/// Where the page is without an offset, and the gateway.
const PAGE: u16 = 9460;
const GATEWAY: u16 = 8080;
/// For spans on their way.
const ARRIVAL: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is read is this much of the shop.
const ORDERS: usize = 20;
/// Before the rounds, so that all is as it will be.
const WARM_UP: Duration = Duration::from_secs(2);

/// How much of everything.
#[derive(Debug)]
pub(crate) struct Dose {
    pub(crate) rate: u32,
    pub(crate) length: Duration,
    pub(crate) rounds: u32,
    pub(crate) round: Duration,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Traces a second, and how long.
    pub(crate) asked: u32,
    pub(crate) length: Duration,
    /// Of the batches.
    pub(crate) rate: Rate,
    pub(crate) failed: u64,
    pub(crate) sent_traces: u64,
    /// What the store said before and after.
    pub(crate) before: Stats,
    pub(crate) after: Stats,
    pub(crate) seen: Seen,
    /// Memory of `mesh up` before, and the most there was.
    pub(crate) resident: (u64, u64),
    /// Answers a second in each round.
    pub(crate) closed: Vec<f64>,
    pub(crate) open: Vec<f64>,
    /// Over all rounds with the page open.
    pub(crate) seen_open: Seen,
}

impl Trial {
    pub(crate) async fn run(dose: &Dose) -> anyhow::Result<Self> {
        let mut mesh = Mesh::builder()
            .argument("--logs")
            .argument("none")
            .start()
            .await;
        let pid = mesh.process().pid();
        let gateway = mesh.member("gateway");
        let address = gateway.http.context("the gateway serves HTTP")?;
        let offset = address.port() - GATEWAY;
        let page = Page::new(SocketAddr::from((Ipv4Addr::LOCALHOST, PAGE + offset)));
        let paths = open_shop(&mesh).await?;

        let exporter = Exporter::new(&receiver(gateway.admin).await?)?;
        let mut trial = keep(&page, exporter, pid, dose).await?;
        let customers = Customers::new(address, &paths);
        customers.ask_for(WARM_UP).await?;
        for number in 0..2 * dose.rounds {
            // Open, closed, closed, open, so that what changes with time changes both.
            if number % 4 == 0 || number % 4 == 3 {
                let (answers, seen) = while_open(&page, customers.ask_for(dose.round)).await?;
                trial.open.push(answers?);
                trial.seen_open.add(seen);
            } else {
                trial.closed.push(customers.ask_for(dose.round).await?);
            }
        }
        mesh.stop().await;
        Ok(trial)
    }
}

/// The first part: spans into the store, the page open.
async fn keep(page: &Page, exporter: Exporter, pid: u32, dose: &Dose) -> anyhow::Result<Trial> {
    let before = page.stats().await?;
    let resident_before = resident(pid)?;
    let plan = Plan {
        rate: f64::from(dose.rate) / f64::from(BATCH),
        length: dose.length,
        mix: Mix::new([("batch", 1)])?,
        most_in_flight: 1_000,
    };
    let load = Generator::new(plan).run(Arc::new(exporter), pending());
    let measured = async {
        let mut most = resident_before;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut load = std::pin::pin!(load);
        loop {
            tokio::select! {
                report = &mut load => break anyhow::Ok((report, most.max(resident(pid)?))),
                _ = looks.tick() => most = most.max(resident(pid)?),
            }
        }
    };
    let (measured, seen) = while_open(page, measured).await?;
    let (report, most) = measured?;
    let sent_traces = (report.rate.sent - report.all.errors) * u64::from(BATCH);
    // Those that were answered are there; nobody else sends any.
    let after = page.stats().await?;
    Ok(Trial {
        asked: dose.rate,
        length: dose.length,
        rate: report.rate,
        failed: report.all.errors,
        sent_traces,
        before,
        after,
        seen,
        resident: (resident_before, most),
        closed: Vec::new(),
        open: Vec::new(),
        seen_open: Seen::default(),
    })
}

/// Does something while somebody looks at the page.
async fn while_open<T>(page: &Page, work: impl Future<Output = T>) -> anyhow::Result<(T, Seen)> {
    let (done, is_done) = oneshot::channel::<()>();
    let work = async {
        let result = work.await;
        drop(done);
        result
    };
    let (result, seen) = tokio::join!(
        work,
        page.watch(async {
            let _dropped = is_done.await;
        })
    );
    let seen = seen?;
    ensure!(seen.events > 0, "the page was open and told of nothing");
    Ok((result, seen))
}

/// Where the processes send their spans: each shows its settings.
async fn receiver(admin: SocketAddr) -> anyhow::Result<String> {
    let config = Http::new(admin)
        .get("/config")
        .send()
        .await
        .expect_status(200);
    let endpoint = config.json()["OTEL_EXPORTER_OTLP_ENDPOINT"].clone();
    let endpoint = endpoint.as_str().filter(|endpoint| !endpoint.is_empty());
    Ok(endpoint.context("the gateway exports nowhere")?.to_owned())
}

/// A few orders, and the paths of what there is to read; returns when nothing is left to do and no span is on its way.
async fn open_shop(mesh: &Mesh) -> anyhow::Result<Vec<String>> {
    let shop = Shop::new(mesh.gateway());
    let sku = shop.first_sku().await;
    let mut paths = Vec::new();
    for number in 0..ORDERS {
        let key = format!("traces-{number}");
        let placed = shop
            .order(&key, &sku, 1, "tok_ok")
            .send()
            .await
            .expect_status(201);
        let id = placed.json()["id"]
            .as_str()
            .context("an order has an id")?
            .to_owned();
        paths.push(format!("/v1/orders/{id}"));
        paths.push(format!("/v1/products/{sku}"));
    }
    for path in paths.iter().step_by(2) {
        eventually(ARRIVAL, "every order is fulfilled", || async {
            let status = shop.get(path).await["status"].clone();
            if status == "fulfilled" {
                Ok(())
            } else {
                Err(status)
            }
        })
        .await;
    }
    Ok(paths)
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.context("/proc says nothing about memory")?.parse()?;
    Ok(kib * 1024)
}
