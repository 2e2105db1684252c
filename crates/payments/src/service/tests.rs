//! Every order of events around a charge, with one replica and with two, on SQLite and on PostgreSQL.

use mesh_chassis::testing::TestRuntime;
use mesh_config::Secret;
use mesh_store::Store;
use sqlx::Row as _;
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;
use crate::{
    app::MIGRATIONS,
    charge::{Amount, Fingerprint},
    provider::BuiltIn,
};

mesh_store::on_each_database!(
    "payments",
    super::MIGRATIONS,
    each_token_has_its_outcome,
    the_same_key_takes_once,
    a_key_is_for_one_amount_and_token,
    many_charges_of_one_key_at_two_replicas_take_once,
    a_refund_gives_back_once,
    a_refund_before_the_charge_voids_it,
    a_refund_overtakes_a_charge_that_has_not_reached_the_provider,
    a_refund_overtakes_a_charge_whose_outcome_is_not_recorded,
    a_charge_is_recorded_although_its_caller_is_gone,
    a_silent_charge_is_found_by_asking,
    a_slow_charge_is_voided_while_it_is_on_its_way,
    who_died_before_the_record_left_nothing_undone,
    who_died_before_the_provider_left_nothing_taken,
    whatever_the_order_a_refund_leaves_no_money_taken,
);

/// A provider on whose way to and from a charge the test holds the traffic up.
struct Gated {
    inner: BuiltIn,
    before: Gate,
    after: Gate,
}

struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    fn open() -> Self {
        Self {
            arrived: Semaphore::new(0),
            open: Semaphore::new(1_000),
        }
    }

    fn closed() -> Self {
        Self {
            open: Semaphore::new(0),
            ..Self::open()
        }
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    async fn someone_waits(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    fn let_one_pass(&self) {
        self.open.add_permits(1);
    }
}

impl Provider for Arc<Gated> {
    fn knows(&self, token: &str) -> bool {
        self.inner.knows(token)
    }

    async fn charge(&self, order: &Order) -> Result<State, provider::Error> {
        self.before.pass().await;
        let outcome = self.inner.charge(order).await;
        self.after.pass().await;
        outcome
    }

    async fn refund(&self, key: &Key) -> Result<State, provider::Error> {
        self.inner.refund(key).await
    }

    async fn find(&self, key: &Key) -> Result<Option<State>, provider::Error> {
        self.inner.find(key).await
    }
}

impl<P> Clone for Service<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn replica<P: Provider>(store: &Store, provider: P) -> Service<P> {
    Service::new(
        Charges::new(store.clone()),
        provider,
        TestRuntime::new().runtime().tasks().clone(),
    )
}

fn built_in(store: &Store) -> Service<BuiltIn> {
    replica(store, BuiltIn::new(store.clone()))
}

fn gated(store: &Store, before: Gate, after: Gate) -> (Service<Arc<Gated>>, Arc<Gated>) {
    let gated = Arc::new(Gated {
        inner: BuiltIn::new(store.clone()),
        before,
        after,
    });
    (replica(store, Arc::clone(&gated)), gated)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn key(key: &str) -> Key {
    Key::parse(key.to_owned()).unwrap()
}

fn order(of: &str, minor: i64, token: &str) -> Order {
    Order {
        key: key(of),
        amount: Amount::new("EUR".to_owned(), minor).unwrap(),
        token: Secret::new(token),
    }
}

impl<P: Provider> Service<P> {
    async fn pay(&self, key: &str, token: &str) -> Result<State, Error> {
        self.charge(order(key, 1_250, token), soon()).await
    }
}

/// How often money was taken and given back under a key.
async fn ledger(store: &Store, key: &str) -> (i64, i64) {
    let mut tx = store.read(soon()).await.unwrap();
    let sql = "SELECT COUNT(CASE WHEN kind = 'charge' THEN 1 END), COUNT(CASE WHEN kind = 'refund' THEN 1 END),
        COUNT(CASE WHEN currency = 'EUR' AND amount_minor = 1250 THEN 1 END) FROM ledger WHERE key = $1";
    let row = sqlx::query(sql)
        .bind(key)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let (charges, refunds, of_the_amount): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(charges + refunds, of_the_amount);
    (charges, refunds)
}

fn voided(result: &Result<State, Error>) -> bool {
    matches!(result, Err(Error::Refused(Refusal::Voided)))
}

async fn each_token_has_its_outcome(store: Store) {
    let service = built_in(&store);
    for (token, outcome, taken) in [
        ("tok_ok", State::Charged, 1),
        ("tok_declined", State::Declined, 0),
    ] {
        assert_eq!(service.find(&key(token), soon()).await.unwrap(), None);
        for _ in 0..2 {
            assert_eq!(service.pay(token, token).await.unwrap(), outcome);
            assert_eq!(
                service.find(&key(token), soon()).await.unwrap(),
                Some(outcome)
            );
            assert_eq!(ledger(&store, token).await, (taken, 0));
        }
    }
    for unknown in ["", "tok_ok ", "TOK_OK", "4111111111111111"] {
        let refused = service.pay("unknown", unknown).await;
        assert!(
            matches!(refused, Err(Error::Invalid(Invalid::Token))),
            "{refused:?}"
        );
    }
    assert_eq!(
        service.find(&key("unknown"), soon()).await.unwrap(),
        None,
        "nothing is recorded"
    );
    assert_eq!(
        service.refund(key("tok_declined"), soon()).await.unwrap(),
        State::Declined
    );
}

async fn the_same_key_takes_once(store: Store) {
    let service = built_in(&store);
    for _ in 0..3 {
        assert_eq!(service.pay("a", "tok_ok").await.unwrap(), State::Charged);
    }
    assert_eq!(service.pay("b", "tok_ok").await.unwrap(), State::Charged);
    assert_eq!(
        (ledger(&store, "a").await, ledger(&store, "b").await),
        ((1, 0), (1, 0))
    );
}

async fn a_key_is_for_one_amount_and_token(store: Store) {
    let service = built_in(&store);
    assert_eq!(service.pay("a", "tok_ok").await.unwrap(), State::Charged);
    for other in [
        order("a", 1_251, "tok_ok"),
        order("a", 1_250, "tok_declined"),
    ] {
        let refused = service.charge(other, soon()).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::KeyReused))),
            "{refused:?}"
        );
    }
    assert_eq!(ledger(&store, "a").await, (1, 0));
}

async fn many_charges_of_one_key_at_two_replicas_take_once(store: Store) {
    let replicas = [built_in(&store), built_in(&store)];
    let mut charges = JoinSet::new();
    for i in 0..40 {
        let replica = replicas[i % 2].clone();
        charges.spawn(async move { replica.pay("a", "tok_ok").await.unwrap() });
    }
    assert_eq!(charges.join_all().await, [State::Charged; 40]);
    assert_eq!(ledger(&store, "a").await, (1, 0));
}

async fn a_refund_gives_back_once(store: Store) {
    let service = built_in(&store);
    assert_eq!(service.pay("a", "tok_ok").await.unwrap(), State::Charged);
    let mut refunds = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        refunds.spawn(async move { service.refund(key("a"), soon()).await.unwrap() });
    }
    assert_eq!(refunds.join_all().await, [State::Refunded; 10]);
    assert_eq!(service.pay("a", "tok_ok").await.unwrap(), State::Refunded);
    assert_eq!(
        service.find(&key("a"), soon()).await.unwrap(),
        Some(State::Refunded)
    );
    assert_eq!(ledger(&store, "a").await, (1, 1));
}

async fn a_refund_before_the_charge_voids_it(store: Store) {
    let service = built_in(&store);
    for _ in 0..2 {
        assert_eq!(
            service.refund(key("a"), soon()).await.unwrap(),
            State::Voided
        );
        assert!(voided(&service.pay("a", "tok_ok").await));
    }
    assert_eq!(
        service.find(&key("a"), soon()).await.unwrap(),
        Some(State::Voided)
    );
    assert_eq!(ledger(&store, "a").await, (0, 0));
}

async fn a_refund_overtakes_a_charge_that_has_not_reached_the_provider(store: Store) {
    let (paused, gates) = gated(&store, Gate::closed(), Gate::open());
    let other = built_in(&store);
    for token in ["tok_ok", "tok_declined"] {
        let charge = in_background(paused.clone(), token);
        gates.before.someone_waits().await;
        assert_eq!(other.find(&key(token), soon()).await.unwrap(), None);
        assert_eq!(
            other.refund(key(token), soon()).await.unwrap(),
            State::Voided
        );
        gates.before.let_one_pass();
        let late = end(charge).await;
        assert!(voided(&late), "{late:?}");
        assert_eq!(
            other.find(&key(token), soon()).await.unwrap(),
            Some(State::Voided)
        );
        assert_eq!(ledger(&store, token).await, (0, 0));
    }
}

async fn a_refund_overtakes_a_charge_whose_outcome_is_not_recorded(store: Store) {
    let (paused, gates) = gated(&store, Gate::open(), Gate::closed());
    let other = built_in(&store);
    let charge = in_background(paused.clone(), "tok_ok");
    gates.after.someone_waits().await;
    assert_eq!(
        other.refund(key("tok_ok"), soon()).await.unwrap(),
        State::Refunded
    );
    gates.after.let_one_pass();
    assert_eq!(end(charge).await.unwrap(), State::Refunded);
    assert_eq!(ledger(&store, "tok_ok").await, (1, 1));

    // A decline that is heard of after the key was voided changes nothing.
    let charge = in_background(paused, "tok_declined");
    gates.after.someone_waits().await;
    assert_eq!(
        other.refund(key("tok_declined"), soon()).await.unwrap(),
        State::Voided
    );
    gates.after.let_one_pass();
    assert!(voided(&end(charge).await));
    assert_eq!(ledger(&store, "tok_declined").await, (0, 0));
}

async fn a_charge_is_recorded_although_its_caller_is_gone(store: Store) {
    let (service, gates) = gated(&store, Gate::closed(), Gate::open());
    let charge = in_background(service, "tok_ok");
    gates.before.someone_waits().await;
    drop(charge);
    gates.before.let_one_pass();
    until(async || recorded(&store, "tok_ok").await == Some(State::Charged)).await;
    assert_eq!(ledger(&store, "tok_ok").await, (1, 0));
}

async fn a_silent_charge_is_found_by_asking(store: Store) {
    let service = built_in(&store);
    let mut charge = in_background(service.clone(), "tok_silent");
    let silent = key("tok_silent");
    until(async || service.find(&silent, soon()).await.unwrap() == Some(State::Charged)).await;
    assert!(charge.try_join_next().is_none(), "it is silent");
    drop(charge);
    assert_eq!(
        service.pay("tok_silent", "tok_silent").await.unwrap(),
        State::Charged,
        "now that it is known"
    );
    assert_eq!(ledger(&store, "tok_silent").await, (1, 0));
}

async fn a_slow_charge_is_voided_while_it_is_on_its_way(store: Store) {
    let service = built_in(&store);
    let charge = in_background(service.clone(), "tok_slow");
    until(async || recorded(&store, "tok_slow").await.is_some()).await;
    assert_eq!(
        service.refund(key("tok_slow"), soon()).await.unwrap(),
        State::Voided
    );
    assert!(voided(&end(charge).await));
    assert_eq!(ledger(&store, "tok_slow").await, (0, 0));
}

/// Leaves a key as a process does that dies between two steps: the record that it started is all there is.
async fn start_and_die(store: &Store, order: &Order) {
    let fingerprint: Fingerprint = order.fingerprint();
    let charges = Charges::new(store.clone());
    assert_eq!(
        charges
            .start(&order.key, State::Started, Some(&fingerprint), soon())
            .await
            .unwrap(),
        None
    );
}

async fn who_died_before_the_record_left_nothing_undone(store: Store) {
    let (service, provider) = (built_in(&store), BuiltIn::new(store.clone()));
    for (of, then) in [("found", 0), ("repeated", 1), ("refunded", 2)] {
        let order = order(of, 1_250, "tok_ok");
        start_and_die(&store, &order).await;
        assert_eq!(provider.charge(&order).await.unwrap(), State::Charged);
        match then {
            0 => assert_eq!(
                service.find(&key(of), soon()).await.unwrap(),
                Some(State::Charged)
            ),
            1 => assert_eq!(service.charge(order, soon()).await.unwrap(), State::Charged),
            _ => assert_eq!(
                service.refund(key(of), soon()).await.unwrap(),
                State::Refunded
            ),
        }
        assert_eq!(ledger(&store, of).await, (1, i64::from(then == 2)));
        // Died between the provider's refund and its record.
        assert_eq!(provider.refund(&key(of)).await.unwrap(), State::Refunded);
        assert_eq!(
            service.refund(key(of), soon()).await.unwrap(),
            State::Refunded
        );
        assert_eq!(ledger(&store, of).await, (1, 1));
    }
}

async fn who_died_before_the_provider_left_nothing_taken(store: Store) {
    let (service, provider) = (built_in(&store), BuiltIn::new(store.clone()));
    let order = order("a", 1_250, "tok_ok");
    start_and_die(&store, &order).await;
    assert_eq!(service.find(&key("a"), soon()).await.unwrap(), None);
    assert_eq!(
        service.refund(key("a"), soon()).await.unwrap(),
        State::Voided
    );
    assert_eq!(provider.charge(&order).await.unwrap(), State::Voided);
    assert_eq!(ledger(&store, "a").await, (0, 0));
}

async fn whatever_the_order_a_refund_leaves_no_money_taken(store: Store) {
    let replicas = [built_in(&store), built_in(&store)];
    for round in 0..30 {
        let name: &'static str = format!("round {round}").leak();
        let mut calls = JoinSet::new();
        for i in 0..8_usize {
            let replica = replicas[i % 2].clone();
            calls.spawn(async move {
                match (i + round) % 4 {
                    0 | 1 => drop(replica.pay(name, "tok_ok").await),
                    2 => drop(replica.find(&key(name), soon()).await.unwrap()),
                    _ => drop(replica.refund(key(name), soon()).await.unwrap()),
                }
            });
        }
        calls.join_all().await;
        let state = replicas[0].find(&key(name), soon()).await.unwrap();
        let expected = if state == Some(State::Voided) {
            (0, 0)
        } else {
            (1, 1)
        };
        assert_eq!(ledger(&store, name).await, expected, "{state:?}");
    }
}

/// What payments itself has recorded of a key.
async fn recorded(store: &Store, of: &str) -> Option<State> {
    let record = Charges::new(store.clone())
        .find(&key(of), soon())
        .await
        .unwrap();
    record.map(|record| record.state)
}

/// Asks until it is so, for 20 s at most.
async fn until(is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), asking)
        .await
        .expect("it is so in time");
}

/// A charge under a key that is called like its token. Dropped, it is cancelled, as a handler whose caller is gone.
fn in_background<P: Provider>(
    service: Service<P>,
    token: &'static str,
) -> JoinSet<Result<State, Error>> {
    let mut charge = JoinSet::new();
    charge.spawn(async move { service.pay(token, token).await });
    charge
}

async fn end(mut charge: JoinSet<Result<State, Error>>) -> Result<State, Error> {
    charge.join_next().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_provider_is_not_waited_for_without_end() {
    let silence = std::future::pending::<Result<State, provider::Error>>();
    assert!(matches!(
        answer(silence).await,
        Err(provider::Error::NoAnswer)
    ));
}
