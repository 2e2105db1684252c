//! The whole mesh on real servers: PostgreSQL, RabbitMQ, Redis and etcd, started by `mesh up --real`.

use std::{fs, path::Path, time::Duration};

use mesh_tests::{Http, Mesh, MeshBuilder, Shop, eventually};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// Longer than a broker takes to start, on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(180);
const SERVERS: [&str; 4] = ["postgres", "rabbitmq", "redis", "etcd"];

fn real() -> MeshBuilder {
    Mesh::builder().argument("--real")
}

fn pid(folder: &Path, server: &str) -> u32 {
    let file = folder.join(".mesh").join(server).join("pid");
    let text = fs::read_to_string(file).expect("the server runs");
    text.trim().parse().expect("a number")
}

fn os_pid(pid: u32) -> Pid {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.expect("a number of a process")
}

fn pids(folder: &Path) -> Vec<u32> {
    SERVERS.map(|server| pid(folder, server)).to_vec()
}

/// What a process says of itself.
async fn config(mesh: &Mesh, name: &str) -> String {
    let admin = Http::new(mesh.member(name).admin);
    admin.get("/config").send().await.expect_status(200).text()
}

async fn order(shop: &Shop, key: &str, sku: &str) -> Value {
    eventually(LIMIT, "an order", || async {
        let answer = shop.order(key, sku, 1, "tok_ok").try_send().await;
        match answer {
            Ok(answer) if answer.status == 201 => Ok(answer.json()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

async fn is_fulfilled(shop: &Shop, order: &Value) {
    let path = format!("/v1/orders/{}", order["id"].as_str().expect("an id"));
    eventually(LIMIT, "the order is fulfilled", || async {
        let answer = shop.request(http::Method::GET, &path).try_send().await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        let status = answer.json()["status"].clone();
        if status == "fulfilled" {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn orders_outlive_a_restart_of_everything_and_the_death_of_every_server() {
    let mesh = real().start().await;
    for (name, schemes) in [
        ("orders", &["postgres://", "amqp://", "etcd://"][..]),
        ("inventory", &["postgres://"]),
        ("payments", &["postgres://"]),
        ("fulfillment", &["amqp://"]),
        ("gateway", &["redis://"]),
    ] {
        let told = config(&mesh, name).await;
        for scheme in schemes {
            assert!(told.contains(scheme), "{name} has no {scheme}: {told}");
        }
    }
    let shop = Shop::with_session(mesh.gateway()).await;
    let sku = shop.first_sku().await;
    let placed = order(&shop, "one", &sku).await;
    is_fulfilled(&shop, &placed).await;
    let first = pids(mesh.folder());
    let folder = mesh.stop().await;
    gone(&first).await;

    let mut mesh = real().folder(folder).start().await;
    let shop = shop.at(mesh.gateway());
    let again = shop.order("one", &sku, 1, "tok_ok").send().await;
    assert_eq!(
        again.expect_status(201).header("idempotent-replayed"),
        "true"
    );
    let listed = shop.get("/v1/orders").await;
    assert_eq!(
        listed["orders"][0]["id"], placed["id"],
        "the session is the same"
    );

    for (server, before) in SERVERS.iter().zip(pids(mesh.folder())) {
        kill_process(os_pid(before), Signal::KILL).expect("the server runs");
        eventually(LIMIT, &format!("another {server}"), || async {
            let now = pid(mesh.folder(), server);
            if now == before {
                Err("not yet")
            } else {
                Ok(())
            }
        })
        .await;
        let placed = order(&shop, server, &sku).await;
        is_fulfilled(&shop, &placed).await;
    }
    let told = mesh.process().output();
    for server in SERVERS {
        let died = format!("{server:<11} ended; starts again in ");
        assert!(told.contains(&died), "{told}");
    }

    let last = pids(mesh.folder());
    mesh.process().kill().await;
    gone(&last).await;
}

/// Servers do not outlive `mesh up`, however that ends.
async fn gone(pids: &[u32]) {
    eventually(LIMIT, "the servers are gone", || async {
        let left: Vec<_> = pids
            .iter()
            .filter(|pid| test_kill_process(os_pid(**pid)).is_ok())
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_named_already_is_not_started() {
    let mesh = real()
        .set("MESH_QUEUE_URL", "sqlite://.mesh/queue.db")
        .set("MESH_LEASE_URL", "local:")
        .argument("--set")
        .argument("MESH_SESSION_URL=memory:")
        .start()
        .await;
    let made = |server: &str| mesh.folder().join(".mesh").join(server).exists();
    assert_eq!(SERVERS.map(made), [true, false, false, false]);
    let told = config(&mesh, "orders").await;
    assert!(
        told.contains("postgres://") && told.contains("queue.db"),
        "{told}"
    );
    mesh.stop().await;
}
