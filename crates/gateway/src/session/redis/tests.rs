//! With a real Redis, started for each test.

use std::collections::BTreeMap;

use mesh_backing::{Kind, Options, Server};
use mesh_chassis::Readiness;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::*;
use crate::{
    config::{Config, SessionStore},
    product::{Quantity, Sku},
    session::{
        SessionId,
        tests::{only_the_version_that_was_read_is_replaced, some_cart, soon},
    },
};

/// For what takes milliseconds, on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(30);

fn start() -> Server {
    Server::temporary(Kind::Redis, Options::default()).expect("redis-server is installed")
}

/// What one gateway has of its own.
struct Gateway {
    sessions: Redis,
    readiness: Readiness,
    _keep_up: JoinSet<()>,
}

impl Gateway {
    fn with(url: &str) -> Self {
        let source = BTreeMap::from([("MESH_SESSION_URL".to_owned(), url.to_owned())]);
        let config = mesh_config::load::<Config>(&source).expect("a good URL");
        let SessionStore::Redis(server) = config.config.sessions else {
            panic!("{url} is no Redis");
        };
        let readiness = Readiness::default();
        let (sessions, keep_up) = Redis::new(server, readiness.register("sessions"));
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_up);
        Self {
            sessions,
            readiness,
            _keep_up: tasks,
        }
    }

    async fn connected(url: &str) -> Self {
        let gateway = Self::with(url);
        gateway.readiness.becomes(true).await;
        gateway
    }

    /// Waits until it knows that Redis is there, or that it is away.
    async fn sees_redis(&self, there: bool) {
        eventually(|| self.sessions.link.connection().is_ok() == there).await;
    }

    /// Another piece of a product, as handlers put it into a cart.
    async fn add(&self, name: &SessionName, sku: &str) {
        loop {
            let mut read = self.sessions.find(name, soon()).await.unwrap().unwrap();
            let sku = Sku::parse(sku).unwrap();
            read.cart.set(sku, Quantity::try_from(1).unwrap()).unwrap();
            let replaced = self.sessions.replace(name, read.version, read.cart, soon());
            if replaced.await.unwrap() {
                return;
            }
        }
    }
}

async fn eventually(is: impl Fn() -> bool) {
    let looked = tokio::time::timeout(LIMIT, async {
        while !is() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    looked.await.expect("it becomes so");
}

/// Somebody else's connection.
async fn connect(server: &Server) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn run<T: FromRedisValue>(server: &Server, command: &[&str]) -> T {
    let command = command.iter().fold(Cmd::new(), |mut command, word| {
        command.arg(word);
        command
    });
    command
        .query_async(&mut connect(server).await)
        .await
        .unwrap()
}

fn is_away<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Away(_)))
}

#[tokio::test]
async fn a_cart_is_kept_with_its_version() {
    let redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    only_the_version_that_was_read_is_replaced(&gateway.sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_change_a_cart_at_the_same_time_lose_nothing() {
    let redis = start();
    let url = redis.url();
    let (one, two) = tokio::join!(Gateway::connected(&url), Gateway::connected(&url));
    let name = SessionId::random().name();
    one.sessions.create(&name, soon()).await.unwrap();
    let adds = (0..50).map(|n| {
        let (gateway, name) = (if n % 2 == 0 { &one } else { &two }, &name);
        async move { gateway.add(name, &format!("P-{n}")).await }
    });
    futures_util::future::join_all(adds).await;
    let held = two.sessions.find(&name, soon()).await.unwrap().unwrap();
    assert_eq!(held.cart.lines().len(), 50);
}

#[tokio::test]
async fn what_redis_holds_is_no_cookie_and_ends_a_day_after_it_was_made() {
    let redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    let id = SessionId::random();
    gateway.sessions.create(&id.name(), soon()).await.unwrap();
    let keys: Vec<String> = run(&redis, &["KEYS", "*"]).await;
    let [key] = &keys[..] else {
        panic!("one session, one key: {keys:?}")
    };
    let ends: u64 = run(&redis, &["PEXPIRETIME", key]).await;
    let left: u64 = run(&redis, &["TTL", key]).await;
    assert!(
        (TTL.as_secs() - 60..=TTL.as_secs()).contains(&left),
        "{left}"
    );

    gateway.add(&id.name(), "P-1").await;
    let after: u64 = run(&redis, &["PEXPIRETIME", key]).await;
    assert_eq!(after, ends, "its cookie lives no longer either");
    let fields: BTreeMap<String, String> = run(&redis, &["HGETALL", key]).await;
    assert_eq!(fields["cart"], r#"{"P-1":1}"#);
    assert!(!format!("{keys:?} {fields:?}").contains(&id.expose()));
}

#[tokio::test]
async fn a_redis_that_hangs_is_away_in_time_and_is_found_again() {
    let mut redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    let name = SessionId::random().name();
    gateway.sessions.create(&name, soon()).await.unwrap();

    redis.pause();
    let asked = Instant::now();
    let (short, long) = tokio::join!(
        gateway
            .sessions
            .find(&name, Deadline::after(Duration::from_millis(300))),
        gateway.sessions.find(&name, soon()),
    );
    assert_eq!(short, Err(Error::OutOfTime));
    assert!(is_away(&long), "{long:?}");
    assert!(asked.elapsed() < LONGEST * 4, "{:?}", asked.elapsed());
    gateway.sees_redis(false).await;
    // Nobody waits any more: it is on the way to a hanging Redis that requests would pile up.
    let refused = tokio::time::timeout(Duration::ZERO, gateway.sessions.find(&name, soon()));
    assert!(is_away(&refused.await.expect("an answer at once")));

    redis.resume();
    gateway.sees_redis(true).await;
    let found = gateway.sessions.find(&name, soon()).await;
    assert_eq!(found, Ok(Some(Versioned::default())));
}

#[tokio::test]
async fn a_redis_that_was_killed_is_found_again_with_every_session() {
    let mut redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    let name = SessionId::random().name();
    gateway.sessions.create(&name, soon()).await.unwrap();
    let filled = gateway.sessions.replace(&name, 0, some_cart(), soon());
    assert_eq!(filled.await, Ok(true));

    redis.kill();
    gateway.sees_redis(false).await;
    assert!(is_away(&gateway.sessions.find(&name, soon()).await));
    assert!(gateway.readiness.is_ready(), "ready once, ready for good");

    redis.start_again().expect("it starts again");
    gateway.sees_redis(true).await;
    let held = gateway.sessions.find(&name, soon()).await.unwrap();
    assert_eq!(held.unwrap().cart, some_cart());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_an_answer_when_redis_dies_is_told_at_once() {
    let mut redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    let name = SessionId::random().name();
    redis.pause();
    let (answer, ()) = tokio::join!(gateway.sessions.find(&name, soon()), async {
        // The command is on its way; then the connection breaks.
        tokio::task::yield_now().await;
        tokio::task::block_in_place(|| redis.kill());
    });
    let Err(Error::Away(reason)) = answer else {
        panic!("{answer:?}")
    };
    assert!(!reason.contains("no answer within"), "{reason}");
}

#[tokio::test]
async fn a_gateway_waits_for_redis_before_it_is_ready() {
    let mut redis = start();
    redis.kill();
    let gateway = Gateway::with(&redis.url());
    let name = SessionId::random().name();
    assert!(is_away(&gateway.sessions.find(&name, soon()).await));
    assert_eq!(gateway.readiness.pending(), ["sessions"]);
    redis.start_again().expect("it starts again");
    gateway.readiness.becomes(true).await;
    assert_eq!(gateway.sessions.find(&name, soon()).await, Ok(None));
}

#[tokio::test]
async fn without_the_right_password_it_is_away_and_the_password_is_not_told() {
    let redis = start();
    let _done: String = run(&redis, &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    let name = SessionId::random().name();
    let with = |login: &str| redis.url().replace("redis://", &format!("redis://{login}"));
    for (login, expected) in [("", "NOAUTH"), (":hunter3@", "password")] {
        let gateway = Gateway::with(&with(login));
        let told = || match gateway.sessions.link.connection() {
            Err(Error::Away(reason)) => reason,
            other => format!("{other:?}"),
        };
        eventually(|| told().to_lowercase().contains(&expected.to_lowercase())).await;
        assert!(!told().contains("hunter"), "{}", told());
        assert!(!gateway.readiness.is_ready());
    }
    let gateway = Gateway::connected(&with(":hunter2@")).await;
    assert_eq!(gateway.sessions.find(&name, soon()).await, Ok(None));
}

#[tokio::test]
async fn what_is_no_cart_is_not_taken_for_an_empty_one() {
    let redis = start();
    let gateway = Gateway::connected(&redis.url()).await;
    for fields in [
        &["cart", "{}"][..],
        &["version", "1"],
        &["version", "one", "cart", "{}"],
        &["version", "1", "cart", "{\"P-1\":0}"],
        &["version", "1", "cart", "nonsense"],
    ] {
        let name = SessionId::random().name();
        let _made: u64 = run(&redis, &[&["HSET", &key(&name)], fields].concat()).await;
        let found = gateway.sessions.find(&name, soon()).await;
        assert!(is_away(&found), "{fields:?}: {found:?}");
    }
    let name = SessionId::random().name();
    let _made: String = run(&redis, &["SET", &key(&name), "x"]).await;
    assert!(is_away(&gateway.sessions.find(&name, soon()).await));
}
