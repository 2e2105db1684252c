//! Two customers, two hundred orders at once, fifty pieces: fifty orders are confirmed, and nobody else is charged.

use std::time::Duration;

use http::Method;
use mesh_tests::{Processes, Shop};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::{task::JoinSet, time::Instant};

const PIECES: u32 = 50;
const ORDERS: u32 = 200;
/// How long a customer goes on asking with the same key.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_last_pieces_are_sold_once_on_sqlite() {
    let processes = Processes::all()
        .set("MESH_SEED_STOCK", PIECES.to_string())
        .start()
        .await;
    everybody_wants_one(&processes).await;
    let file = processes.folder().join(".mesh/payments.db");
    let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("a database");
    let movements: Vec<(String, i64)> =
        sqlx::query_as("SELECT kind, COUNT(*) FROM ledger GROUP BY kind")
            .fetch_all(&mut ledger)
            .await
            .expect("the ledger is a table");
    assert_eq!(movements, [("charge".to_owned(), i64::from(PIECES))]);
}

#[tokio::test]
async fn the_last_pieces_are_sold_once_on_postgresql() {
    let url = mesh_store::testing::postgres().await;
    let processes = Processes::all()
        .set("MESH_SEED_STOCK", PIECES.to_string())
        .set("MESH_STORE_URL", &url)
        .start()
        .await;
    everybody_wants_one(&processes).await;
    let mut ledger = PgConnection::connect(&url).await.expect("a database");
    let movements: Vec<(String, i64)> =
        sqlx::query_as("SELECT kind, COUNT(*) FROM payments.ledger GROUP BY kind")
            .fetch_all(&mut ledger)
            .await
            .expect("the ledger is a table");
    assert_eq!(movements, [("charge".to_owned(), i64::from(PIECES))]);
}

async fn everybody_wants_one(processes: &Processes) {
    let customers = [
        Shop::with_session(processes.gateway()).await,
        Shop::with_session(processes.gateway()).await,
    ];
    let sku = customers[0].first_sku().await;
    let mut orders = JoinSet::new();
    for n in 0..ORDERS {
        let customer = customers[usize::from(n % 2 == 1)].clone();
        let sku = sku.clone();
        orders.spawn(async move { final_status(&customer, &format!("order-{n}"), &sku).await });
    }
    let statuses = orders.join_all().await;
    let of = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(
        (of(201), of(409)),
        (PIECES as usize, (ORDERS - PIECES) as usize),
        "{statuses:?}"
    );
    assert_eq!(customers[0].available(&sku).await, 0);

    let mut listed = Vec::new();
    for customer in &customers {
        listed.extend(orders_of(customer).await);
    }
    let of = |status: &str| {
        listed
            .iter()
            .filter(|order| order["status"] == status)
            .count()
    };
    assert_eq!(listed.len(), ORDERS as usize);
    assert_eq!(
        (of("confirmed"), of("failed")),
        (PIECES as usize, (ORDERS - PIECES) as usize)
    );
}

/// Asks with the same key until the answer is final, as customers are told to by 202, 409 in progress, 503 and 504.
async fn final_status(customer: &Shop, key: &str, sku: &str) -> u16 {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = customer.order(key, sku, 1, "tok_ok").send().await;
        let final_answer = match answer.status {
            202 | 503 | 504 => false,
            409 => answer.header("retry-after").is_empty(),
            _ => true,
        };
        if final_answer {
            return answer.status;
        }
        assert!(
            Instant::now() < end,
            "{key}: still {} after {PATIENCE:?}: {}",
            answer.status,
            answer.text()
        );
        tokio::task::yield_now().await;
    }
}

async fn orders_of(customer: &Shop) -> Vec<Value> {
    let mut orders = Vec::new();
    let mut path = "/v1/orders?page_size=100".to_owned();
    loop {
        let page = customer
            .request(Method::GET, &path)
            .send()
            .await
            .expect_status(200)
            .json();
        orders.extend(page["orders"].as_array().expect("a list").clone());
        match page["next_page_token"].as_str() {
            Some(token) => path = format!("/v1/orders?page_size=100&page_token={token}"),
            None => return orders,
        }
    }
}
