//! Against a real etcd.

use std::future::Future;

use tokio::time::timeout;

use super::*;
use crate::testing;

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn candidate(server: &testing::Etcd) -> Etcd {
    let url = server.url();
    let member = url.strip_prefix("etcd://").unwrap().parse().unwrap();
    Etcd::new(&[member])
}

async fn elected(candidate: &Etcd) -> Box<dyn Term> {
    let elected = async {
        loop {
            if let Ok(Some(term)) = candidate.campaign().await {
                return term;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, elected).await.unwrap()
}

async fn goes_on(time: Duration, keeping: impl Future<Output = ()>) -> bool {
    timeout(time, keeping).await.is_err()
}

#[tokio::test]
async fn one_of_several_holds_it_for_as_long_as_it_lives() {
    let server = testing::Etcd::start();
    let (one, other) = (candidate(&server), candidate(&server));
    let mut first = one.campaign().await.unwrap().unwrap();
    // Longer than the lease would last by itself.
    assert!(goes_on(TTL + MARGIN, first.keep()).await, "it is lost");
    assert!(other.campaign().await.unwrap().is_none());

    let token = first.token();
    first.resign().await;
    let mut second = other.campaign().await.unwrap().expect("free at once");
    assert!(second.token() > token);

    // As when its process is killed.
    let token = second.token();
    assert!(goes_on(TTL / 2, second.keep()).await);
    drop(second);
    let died = Instant::now();
    let third = elected(&one).await;
    let took = died.elapsed();
    assert!(third.token() > token);
    assert!(took < TTL * 2, "{took:?}");
}

#[tokio::test]
async fn a_holder_that_hears_nothing_stops_before_the_lease_is_over() {
    let mut server = testing::Etcd::start();
    let (one, other) = (candidate(&server), candidate(&server));
    let begun = Instant::now();
    let mut term = one.campaign().await.unwrap().unwrap();
    server.kill();
    term.keep().await;
    let kept = begun.elapsed();
    assert!(kept < TTL, "{kept:?}");
    let problem = other.campaign().await.unwrap_err().to_string();
    assert!(problem.starts_with("etcd at 127.0.0.1:"), "{problem}");

    server.start_again();
    let token = term.token();
    assert!(elected(&other).await.token() > token);
}

#[tokio::test]
async fn a_revoked_lease_is_lost_and_another_member_is_asked_after_a_failure() {
    let server = testing::Etcd::start();
    let there: Authority = server.url()["etcd://".len()..].parse().unwrap();
    let both = Etcd::new(&["127.0.0.1:1".parse().unwrap(), there]);
    both.campaign().await.unwrap_err();
    let mut term = both.campaign().await.unwrap().unwrap();
    let lease = both.0.lease_of(KEY).await.unwrap().unwrap();
    both.0.revoke(lease).await.unwrap();
    timeout(TTL / 2, term.keep()).await.expect("it notices");
}
