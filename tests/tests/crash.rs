//! A process that is killed is back soon, the others go on, and no order is forgotten.

use std::time::Duration;

use mesh_tests::{Member, Mesh, Shop, eventually};

const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];
/// From the death of a process to an order that works again: as promised of a release build, ten times that else.
const BACK: Duration = Duration::from_secs(if cfg!(debug_assertions) { 50 } else { 5 });

fn pids(mesh: &Mesh) -> Vec<(String, u32)> {
    let mut pids: Vec<_> = mesh
        .members()
        .into_iter()
        .map(|Member { name, pid, .. }| (name, pid))
        .collect();
    pids.sort();
    pids
}

#[tokio::test]
async fn a_killed_process_is_back_within_seconds_and_no_other_is_touched() {
    let mesh = Mesh::start().await;
    let sku = Shop::new(mesh.gateway()).first_sku().await;
    for name in PROCESSES {
        let before = pids(&mesh);
        let victim = mesh.member(name);
        mesh.kill(&victim);
        eventually(
            BACK,
            &format!("an order after the death of {name}"),
            || async {
                let now = mesh
                    .members()
                    .into_iter()
                    .find(|member| member.name == name)
                    .ok_or("not in mesh.json")?;
                if now.pid == victim.pid {
                    return Err("the dead process is still in mesh.json");
                }
                let gateway = mesh.gateway();
                let order = Shop::new(gateway)
                    .order(&format!("{name}-{}", now.pid), &sku, 1, "tok_ok")
                    .try_send()
                    .await;
                if order.is_ok_and(|order| order.status == 201) {
                    Ok(())
                } else {
                    Err("no order")
                }
            },
        )
        .await;
        let after = pids(&mesh);
        for ((was, old), (is, new)) in before.iter().zip(&after) {
            assert_eq!(was, is);
            assert_eq!(
                old == new,
                was != name,
                "{was}: {old}, {new} after the death of {name}"
            );
        }
    }
    mesh.stop().await;
}

#[tokio::test]
async fn state_outlives_every_process() {
    let mesh = Mesh::start().await;
    let shop = Shop::new(mesh.gateway());
    let sku = shop.first_sku().await;
    let placed = shop
        .order("one", &sku, 3, "tok_ok")
        .send()
        .await
        .expect_status(201)
        .json();
    for name in PROCESSES {
        let victim = mesh.member(name);
        mesh.kill(&victim);
        eventually(BACK, &format!("{name} is another process"), || async {
            let now = mesh
                .members()
                .into_iter()
                .find(|member| member.name == name);
            if now.is_some_and(|now| now.pid != victim.pid) {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        mesh.ready(name, BACK).await;
    }
    let path = format!("/v1/orders/{}", placed["id"].as_str().expect("an id"));
    let found = eventually(BACK, "the order is found", || async {
        let answer = mesh
            .gateway()
            .get(&path)
            .try_send()
            .await
            .map_err(|error| format!("{error:#}"))?;
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    })
    .await;
    // It may have been fulfilled since.
    for field in ["id", "items", "total", "created_at"] {
        assert_eq!(found[field], placed[field], "{found}");
    }
    let again = Shop::new(mesh.gateway())
        .order("one", &sku, 3, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    mesh.stop().await;
}
