//! The RPCs as a caller sees them, through the chassis and a real connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use mesh_chassis::{Process, testing::TestRuntime};
use mesh_payments::Payments;
use mesh_proto::{
    money::v1::Money,
    payments::v1::{
        ChargeRequest, ChargeState, GetChargeRequest, RefundRequest,
        payments_service_client::PaymentsServiceClient,
    },
};
use mesh_store::testing;
use tonic::{Code, Request, Status, transport::Channel};

type Client = PaymentsServiceClient<Channel>;

async fn serve(runtime: &TestRuntime, store_url: &str) -> Client {
    let source = BTreeMap::from([("MESH_STORE_URL".to_owned(), store_url.to_owned())]);
    let loaded = mesh_config::load::<<Payments as Process>::Config>(&source).unwrap();
    let inbound = Payments::build(loaded.config, runtime.runtime()).unwrap();
    let addr = runtime.serve(inbound).await.unwrap();
    PaymentsServiceClient::connect(format!("http://{addr}"))
        .await
        .unwrap()
}

async fn ready() -> (TestRuntime, testing::Sqlite, Client) {
    let (runtime, place) = (TestRuntime::new(), testing::sqlite());
    let client = serve(&runtime, place.url()).await;
    runtime.runtime().readiness().becomes(true).await;
    (runtime, place, client)
}

fn charge(key: &str, amount_minor: i64, token: &str) -> ChargeRequest {
    let amount = Some(Money {
        currency: "EUR".to_owned(),
        amount_minor,
    });
    ChargeRequest {
        key: key.to_owned(),
        amount,
        payment_token: token.to_owned(),
    }
}

async fn pay(client: &mut Client, key: &str, token: &str) -> Result<ChargeState, Status> {
    Ok(client
        .charge(charge(key, 1_250, token))
        .await?
        .into_inner()
        .state())
}

async fn refund(client: &mut Client, key: &str) -> Result<ChargeState, Status> {
    Ok(client
        .refund(RefundRequest {
            key: key.to_owned(),
        })
        .await?
        .into_inner()
        .state())
}

async fn find(client: &mut Client, key: &str) -> Result<ChargeState, Status> {
    Ok(client
        .get_charge(GetChargeRequest {
            key: key.to_owned(),
        })
        .await?
        .into_inner()
        .state())
}

fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.unwrap_err().code()
}

#[tokio::test]
async fn a_charge_goes_through_its_states() {
    let (_runtime, _place, mut client) = ready().await;
    assert_eq!(find(&mut client, "a").await.unwrap(), ChargeState::None);
    assert_eq!(
        pay(&mut client, "a", "tok_ok").await.unwrap(),
        ChargeState::Charged
    );
    assert_eq!(find(&mut client, "a").await.unwrap(), ChargeState::Charged);
    assert_eq!(
        refund(&mut client, "a").await.unwrap(),
        ChargeState::Refunded
    );
    assert_eq!(
        pay(&mut client, "a", "tok_ok").await.unwrap(),
        ChargeState::Refunded
    );

    assert_eq!(
        pay(&mut client, "b", "tok_declined").await.unwrap(),
        ChargeState::Declined
    );
    assert_eq!(
        refund(&mut client, "b").await.unwrap(),
        ChargeState::Declined
    );

    assert_eq!(refund(&mut client, "c").await.unwrap(), ChargeState::Voided);
    assert_eq!(
        code(pay(&mut client, "c", "tok_ok").await),
        Code::FailedPrecondition
    );
    assert_eq!(find(&mut client, "c").await.unwrap(), ChargeState::Voided);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_leaves_no_trace() {
    let (_runtime, _place, mut client) = ready().await;
    let without_amount = ChargeRequest {
        amount: None,
        ..charge("a", 1, "tok_ok")
    };
    let long = "x".repeat(256);
    for request in [
        charge("", 1, "tok_ok"),
        charge(&long, 1, "tok_ok"),
        charge("a", 0, "tok_ok"),
        charge("a", -1, "tok_ok"),
        charge("a", 1, "tok_unknown"),
        without_amount,
    ] {
        assert_eq!(code(client.charge(request).await), Code::InvalidArgument);
    }
    assert_eq!(find(&mut client, "a").await.unwrap(), ChargeState::None);
    assert_eq!(code(find(&mut client, "").await), Code::InvalidArgument);
    assert_eq!(
        code(refund(&mut client, &long).await),
        Code::InvalidArgument
    );

    assert_eq!(
        pay(&mut client, "a", "tok_ok").await.unwrap(),
        ChargeState::Charged
    );
    assert_eq!(
        code(client.charge(charge("a", 1, "tok_ok")).await),
        Code::AlreadyExists
    );
}

#[tokio::test]
async fn a_silent_charge_ends_at_the_deadline_and_is_found_by_asking() {
    let (_runtime, _place, mut client) = ready().await;
    let mut request = Request::new(charge("a", 1_250, "tok_silent"));
    request.set_timeout(Duration::from_millis(300));
    // Whose timer is first is a matter of luck; tonic calls its own one a cancellation.
    let code = code(client.charge(request).await);
    assert!(
        matches!(code, Code::DeadlineExceeded | Code::Cancelled),
        "{code:?}"
    );
    assert_eq!(find(&mut client, "a").await.unwrap(), ChargeState::Charged);
}

#[tokio::test]
async fn a_payment_token_is_nowhere_to_be_seen() {
    let (runtime, place, mut client) = ready().await;
    for token in ["tok_ok", "tok_declined", "tok_unknown"] {
        let _ = pay(&mut client, token.trim_start_matches("tok_"), token).await;
    }
    let seen = format!(
        "{:?} {:?} {}",
        runtime.spans(),
        runtime.access_lines(),
        runtime.metrics()
    );
    assert!(
        seen.contains("PaymentsService/Charge") && !seen.contains("tok_"),
        "{seen}"
    );
    let path = place.url().strip_prefix("sqlite://").unwrap();
    for file in [path.to_owned(), format!("{path}-wal")] {
        let stored = std::fs::read(file).unwrap();
        assert!(!stored.windows(4).any(|window| window == b"tok_"));
    }
}

#[tokio::test]
async fn without_its_store_it_waits_and_says_unavailable() {
    // Nothing listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let runtime = TestRuntime::new();
    let mut client = serve(
        &runtime,
        &format!("postgres://shop:hunter2@127.0.0.1:{port}/shop"),
    )
    .await;
    for code in [
        code(pay(&mut client, "a", "tok_ok").await),
        code(refund(&mut client, "a").await),
        code(find(&mut client, "a").await),
    ] {
        assert_eq!(code, Code::Unavailable);
    }
    assert_eq!(runtime.runtime().readiness().pending(), ["store"]);
}
