//! A process starts whether or not what it needs is there, says what it waits for, and goes on by itself when it comes.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use mesh_tests::{Http, Ports, Processes, eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// What was promised is 100 ms and 2 s in a release build on a quiet machine (`scripts/size` measures the start); here only
/// the order of magnitude counts.
const ALIVE: Duration = Duration::from_secs(1);
const RECOVERED: Duration = Duration::from_secs(6);

/// Who waits for a database.
const STORES: [&str; 3] = ["orders", "inventory", "payments"];

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
    eventually(Duration::from_secs(30), "it is alive", || {
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

async fn waits_for_its_store(name: &'static str) -> Result<()> {
    let mut ports = Ports::default();
    let (server, place, url) = absent(&mesh_store::testing::postgres().await, &mut ports)?;
    let processes = Processes::only(&[name])
        .set("MESH_STORE_URL", url)
        .without_waiting()
        .start()
        .await;
    let admin = processes.admin(name);
    let until_alive = alive(&admin).await;
    ensure!(
        until_alive < ALIVE,
        "{name} was alive after {until_alive:?}"
    );

    let answer = admin.get("/readyz").send().await.expect_status(503);
    let waits = answer.json()["waiting_for"]
        .as_array()
        .is_some_and(|list| list.contains(&"store".into()));
    ensure!(waits, "{name}: {}", answer.text());

    let ready = eventually(RECOVERED, "it is ready", || {
        let look = admin.get("/readyz").send();
        async move {
            let answer = look.await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        }
    });
    tokio::select! {
        ended = come(place, server) => ended?,
        () = ready => {}
    }
    Ok(())
}

#[tokio::test]
async fn each_process_waits_for_its_store_and_goes_on_when_it_comes() -> Result<()> {
    for name in STORES {
        waits_for_its_store(name).await?;
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
