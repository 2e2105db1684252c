//! A process starts whether or not what it needs is there, says what it waits for, and goes on by itself when it comes.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use mesh_backing::{Kind, Options, Server};
use mesh_messaging::testing::{LIMIT, Place};
use mesh_tests::{Http, Ports, Processes, eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

/// From the start to `/healthz`, and from a server's coming to `/readyz`. Promised of a release build (`scripts/alone`); in a
/// debug build beside other tests only the order of magnitude counts.
const ALIVE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });
const RECOVERED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 6 } else { 2 });

/// What a process can wait for: the blocker's name, the setting that says where it is, and a server for it.
#[derive(Clone, Copy)]
enum Dependency {
    Store,
    Queue,
    Sessions,
}

/// Each process, and all that it waits for, in the order in which it comes.
const TABLE: [(&str, &[Dependency]); 5] = [
    ("gateway", &[Dependency::Sessions]),
    ("orders", &[Dependency::Queue, Dependency::Store]),
    ("inventory", &[Dependency::Store]),
    ("payments", &[Dependency::Store]),
    ("fulfillment", &[Dependency::Queue]),
];

impl Dependency {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Store => ("store", "MESH_STORE_URL"),
            Self::Queue => ("queue", "MESH_QUEUE_URL"),
            Self::Sessions => ("sessions", "MESH_SESSION_URL"),
        }
    }

    /// Of a real server, which runs, as long as it is kept.
    async fn url(self, kept: &mut Vec<Server>) -> Result<String> {
        Ok(match self {
            Self::Store => mesh_store::testing::postgres().await,
            Self::Queue => Place::rabbitmq().await.url().to_owned(),
            Self::Sessions => {
                kept.push(Server::temporary(Kind::Redis, Options::default())?);
                kept[kept.len() - 1].url()
            }
        })
    }
}

/// The address of a server that is not there yet, and the same URL with that address in it.
fn absent(url: &str, ports: &mut Ports) -> Result<(SocketAddr, SocketAddr, String)> {
    let authority = url
        .split(['@', '/'])
        .rfind(|part| part.contains("127.0.0.1:"))
        .context("a local URL")?;
    let place = ports.take();
    Ok((
        authority.parse()?,
        place,
        url.replace(authority, &place.to_string()),
    ))
}

/// The server comes: connections to `place` lead to it from now on.
async fn come(place: SocketAddr, server: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(place).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(server).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a connection of this test, which ends with it"
        )]
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
    }
}

/// How long until the process answers that it is alive.
async fn alive(admin: &Http) -> Duration {
    let started = Instant::now();
    eventually(LIMIT, "it is alive", || {
        let look = admin.get("/healthz").try_send();
        async move {
            match look.await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(format!("{error:#}")),
            }
        }
    })
    .await;
    started.elapsed()
}

/// What `/readyz` says the process waits for; `None` once it answers 200.
async fn waits_for(admin: &Http) -> Option<BTreeSet<String>> {
    let answer = admin.get("/readyz").send().await;
    if answer.status == 200 {
        return None;
    }
    let list = answer.expect_status(503).json()["waiting_for"].clone();
    Some(serde_json::from_value(list).expect("a list of names"))
}

/// Starts without anything it needs, peers too; then one after the other comes.
async fn starts_alone(name: &'static str, needs: &[Dependency]) -> Result<()> {
    let mut ports = Ports::default();
    let (mut builder, mut away) = (Processes::only(&[name]).without_waiting(), Vec::new());
    let mut kept = Vec::new();
    for need in needs {
        let (blocker, variable) = need.names();
        let (server, place, url) = absent(&need.url(&mut kept).await?, &mut ports)?;
        builder = builder.set(variable, url);
        away.push((blocker, place, server));
    }
    let processes = builder.start().await;
    let admin = processes.admin(name);
    let until_alive = alive(&admin).await;
    ensure!(
        until_alive < ALIVE,
        "{name} was alive after {until_alive:?}"
    );

    let mut come_by_now = JoinSet::new();
    let mut missing: BTreeSet<_> = away.iter().map(|(name, ..)| (*name).to_owned()).collect();
    says(name, &admin, &missing).await;
    for (blocker, place, server) in away {
        if blocker == "store" {
            only_connecting_fails(name, &processes).await;
        }
        come_by_now.spawn(come(place, server));
        missing.remove(blocker);
        says(name, &admin, &missing).await;
    }
    Ok(())
}

/// Waits until `/readyz` names just these, or is 200 when there are none.
async fn says(name: &str, admin: &Http, missing: &BTreeSet<String>) {
    let missing = (!missing.is_empty()).then_some(missing);
    let what = format!("{name} waits for {missing:?}");
    eventually(RECOVERED, &what, || async {
        let waits_for = waits_for(admin).await;
        (waits_for.as_ref() == missing)
            .then_some(())
            .ok_or(waits_for)
    })
    .await;
}

/// While a store is away, whoever would work on it waits and says nothing: that it cannot be reached is said already.
async fn only_connecting_fails(name: &str, processes: &Processes) {
    let tries = || {
        let logs = processes.logs(name);
        let told = logs.iter().map(ToString::to_string);
        told.filter(|line| line.contains("the store is not ready"))
            .count()
    };
    let before = tries();
    eventually(LIMIT, "the store was looked for again", || async {
        let tries = tries() - before;
        (tries > 1).then_some(()).ok_or(tries)
    })
    .await;
    let logs = processes.logs(name);
    let mut told = logs.iter().map(ToString::to_string);
    let told = told.find(|line| line.contains("not prepared"));
    assert_eq!(told, None, "{name}");
}

#[tokio::test]
async fn each_process_says_what_it_waits_for_and_goes_on_when_it_comes() -> Result<()> {
    for (name, needs) in TABLE {
        starts_alone(name, needs).await?;
    }
    Ok(())
}

#[tokio::test]
async fn peers_that_are_away_make_no_process_unready() -> Result<()> {
    let names = ["gateway", "orders"];
    let processes = Processes::only(&names)
        .set("MESH_INVENTORY_URL", "http://127.0.0.1:9")
        .start()
        .await;
    for name in names {
        let answer = processes.admin(name).get("/readyz").send().await;
        ensure!(answer.status == 200, "{name}: {}", answer.text());
    }
    let answer = processes
        .gateway()
        .get("/v1/products")
        .send()
        .await
        .expect_status(503);
    ensure!(!answer.header("retry-after").is_empty(), "no Retry-After");
    Ok(())
}
