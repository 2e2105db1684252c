//! `mesh up`: what it starts, tells and cleans up, and that a process which dies is back soon while the others go on.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use mesh_tests::{Member, Mesh, Shop, eventually};

const PROCESSES: [&str; 4] = ["gateway", "inventory", "orders", "payments"];
/// From the death of a process to an order that works again.
const BACK: Duration = Duration::from_secs(5);

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
    assert_eq!(found, placed);
    let again = Shop::new(mesh.gateway())
        .order("one", &sku, 3, "tok_ok")
        .send()
        .await
        .expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    mesh.stop().await;
}

#[tokio::test]
async fn the_file_names_every_process_for_its_owner_alone() {
    let mesh = Mesh::start().await;
    let names: Vec<_> = pids(&mesh).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, PROCESSES);
    let mode = fs::metadata(mesh.file())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    for member in mesh.members() {
        assert_eq!(
            member.http.is_some(),
            member.name == "gateway",
            "{member:?}"
        );
        assert_eq!(
            member.grpc.is_some(),
            member.name != "gateway",
            "{member:?}"
        );
    }
    mesh.stop().await;
}

#[tokio::test]
async fn all_processes_die_with_the_one_that_started_them() {
    let mut mesh = Mesh::start().await;
    let members = mesh.members();
    mesh.process().kill().await;
    eventually(BACK, "nobody serves any more", || async {
        for member in &members {
            if mesh_tests::Http::new(member.admin)
                .get("/healthz")
                .try_send()
                .await
                .is_ok()
            {
                return Err(member.clone());
            }
        }
        Ok(())
    })
    .await;
}
