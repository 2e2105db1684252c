//! The course of a run: orders and faults, then healing, draining, asking again, and the reckoning.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use mesh_tests::Http;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    customer::Shop,
    facts::{Facts, Outcome, Told},
    faults::again,
    invariants::{self, Verdict},
    plan::Planned,
    progress::Progress,
    stage::Stage,
    tally::Tally,
    workload::{Customer, PRODUCTS, most_before, seed_stock},
};

/// From the last customer's leaving until nothing is left to do: pauses between tries grow to a minute.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(1);
/// To measure what the shop can do: so many customers at once, for so long at most.
const MEASURING: usize = 48;
const MEASURED: Duration = Duration::from_secs(10);
/// How much of that is ordered; on a machine where that is fewer than so many a second, up to how much.
const SHARE: f64 = 0.5;
const ENOUGH: f64 = 20.0;
const MOST: f64 = 0.6;
/// Customers who ask once more when all is over, and how many of them at once.
const ASKED_AGAIN: u32 = 1_000;
const AT_ONCE: usize = 16;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) orders: u32,
    /// What the machine can bear is measured when there is none.
    pub(crate) rate: Option<u32>,
    pub(crate) seed: u64,
    pub(crate) plan: Vec<Planned>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) facts: Facts,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) plan: Vec<Planned>,
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    /// Processes that died at crash points.
    pub(crate) crashed: usize,
    /// What went wrong besides.
    pub(crate) odd: Vec<String>,
    pub(crate) took: Duration,
    pub(crate) drained: Duration,
    shop: Arc<Shop>,
}

/// What was seen while the processes ran.
#[derive(Debug)]
struct Served {
    customers: Vec<Told>,
    poison: Vec<String>,
    odd: Vec<String>,
    rate: u32,
    drained: Duration,
}

impl Ended {
    pub(crate) fn tally(&self) -> &Tally {
        &self.shop.tally
    }
}

impl Course {
    /// Runs it on a stage that is ready.
    pub(crate) async fn run(self, stage: &mut Stage, progress: &Progress) -> anyhow::Result<Ended> {
        let start = Instant::now();
        let shop = Arc::new(self.open(stage).await?);
        let faults = self.plan.len();
        let served = {
            let stage = &*stage;
            let watching = progress.watch(&shop.tally, self.orders, faults);
            tokio::select! {
                done = self.all(stage, &shop, progress) => done?,
                () = watching => anyhow::bail!("the progress ended"),
            }
        };
        stage.stop().await?;
        progress.say("every process has ended, checking");
        let Served {
            customers,
            poison,
            mut odd,
            rate,
            drained,
        } = served;
        let facts = Facts {
            customers,
            poison,
            seed_stock: seed_stock(self.orders).into(),
            ..stage.gather().await?
        };
        let mut crashed = 0;
        for service in stage.services.values() {
            let (crashes, ends) = service.ends();
            crashed += crashes;
            odd.extend(ends);
        }
        Ok(Ended {
            verdicts: invariants::check(&facts),
            facts,
            plan: self.plan,
            rate,
            seed: self.seed,
            crashed,
            odd,
            took: start.elapsed(),
            drained,
            shop,
        })
    }

    async fn open(&self, stage: &Stage) -> anyhow::Result<Shop> {
        let gateways = ["gateway-1", "gateway-2"].map(|name| Http::new(stage.address(name)));
        let answer = gateways[0].get("/v1/products").try_send().await?.json();
        let products = answer["products"].as_array().context("a catalogue")?;
        let skus = products
            .iter()
            .filter_map(|product| product["sku"].as_str());
        let skus: Vec<String> = skus.map(str::to_owned).collect();
        anyhow::ensure!(
            skus.len() == PRODUCTS,
            "a catalogue of {} products",
            skus.len()
        );
        Ok(Shop {
            gateways,
            skus,
            seed: self.seed,
            tally: Tally::default(),
        })
    }

    /// While the processes run: what the customers were told, the poison, what went wrong, and how long draining took.
    async fn all(
        &self,
        stage: &Stage,
        shop: &Arc<Shop>,
        progress: &Progress,
    ) -> anyhow::Result<Served> {
        let (rate, mut customers) = self.rate(shop, progress).await?;
        progress.phase("ordering".to_owned());
        let ((mut serving, offered_until), (poison, mut odd)) = tokio::join!(
            self.offer(rate, shop, progress),
            self.strike(rate, stage, shop, progress)
        );
        progress.phase("healing".to_owned());
        stage.all_ready().await?;
        while let Some(told) = serving.join_next().await {
            let told = told?;
            customers.insert(told.number, told);
        }
        let waited = offered_until.elapsed().as_secs();
        progress.say(&format!(
            "the last customer has an answer, or has gone, after {waited} s"
        ));
        let drained = drain(stage, &poison, progress).await?;
        odd.extend(drained.err());
        let drained = offered_until.elapsed();
        progress.phase("asking again".to_owned());
        let mut customers = customers.into_values().collect::<Vec<_>>();
        self.ask_again(shop, &mut customers).await?;
        // Who had given up may have an order now.
        odd.extend(drain(stage, &poison, progress).await?.err());
        Ok(Served {
            customers,
            poison,
            odd,
            rate,
            drained,
        })
    }

    /// How many orders a second: a part of what the shop can do while all is well. Those who measured it are customers too.
    async fn rate(
        &self,
        shop: &Arc<Shop>,
        progress: &Progress,
    ) -> anyhow::Result<(u32, BTreeMap<u32, Told>)> {
        let mut customers = BTreeMap::new();
        if let Some(rate) = self.rate {
            return Ok((rate, customers));
        }
        progress.phase("measuring".to_owned());
        let start = Instant::now();
        let mut serving = JoinSet::new();
        for number in self.orders..self.orders + most_before(self.orders) {
            if serving.len() == MEASURING {
                let told: Told = serving.join_next().await.expect("some are served")?;
                customers.insert(told.number, told);
                if start.elapsed() > MEASURED {
                    break;
                }
            }
            let customer = Customer::new(self.seed, number);
            serving.spawn(Arc::clone(shop).serve(customer));
        }
        let whole = u32::try_from(customers.len())?;
        let can = f64::from(whole) / start.elapsed().as_secs_f64();
        while let Some(told) = serving.join_next().await {
            let told = told?;
            customers.insert(told.number, told);
        }
        let rate = rate(can);
        progress.say(&format!(
            "{can:.0} orders/s while all is well, {rate}/s from now on"
        ));
        Ok((rate, customers))
    }

    /// Each order when it is due, whatever became of those before.
    async fn offer(
        &self,
        rate: u32,
        shop: &Arc<Shop>,
        progress: &Progress,
    ) -> (JoinSet<Told>, Instant) {
        let start = Instant::now();
        let mut serving = JoinSet::new();
        for number in 0..self.orders {
            sleep_until(start + due(number, rate)).await;
            shop.tally.due.fetch_add(1, Ordering::Relaxed);
            let customer = Customer::new(self.seed, number);
            serving.spawn(Arc::clone(shop).serve(customer));
        }
        progress.say("the last order is due");
        (serving, Instant::now())
    }

    /// Each fault when its order is due, whatever became of those before. The poison, and what could not be done.
    async fn strike(
        &self,
        rate: u32,
        stage: &Stage,
        shop: &Shop,
        progress: &Progress,
    ) -> (Vec<String>, Vec<String>) {
        let start = Instant::now();
        let each = self.plan.iter().enumerate().map(async |(number, planned)| {
            sleep_until(start + due(planned.at, rate)).await;
            shop.tally.faults.fetch_add(1, Ordering::Relaxed);
            let fault = planned.fault;
            progress.say(&format!("fault {}: {fault}", number + 1));
            let struck = stage.strike(number, fault).await;
            struck.map_err(|error| format!("fault {} ({fault}): {error:#}", number + 1))
        });
        let (mut poison, mut odd) = (Vec::new(), Vec::new());
        for struck in futures_util::future::join_all(each).await {
            match struck {
                Ok(body) => poison.extend(body),
                Err(problem) => odd.push(problem),
            }
        }
        (poison, odd)
    }

    /// Some of the customers, with the same key.
    async fn ask_again(&self, shop: &Arc<Shop>, customers: &mut [Told]) -> anyhow::Result<()> {
        let every = usize::try_from(self.orders.div_ceil(ASKED_AGAIN))?;
        let mut asking = JoinSet::new();
        let mut asked = (0..customers.len()).step_by(every);
        loop {
            while asking.len() < AT_ONCE
                && let Some(place) = asked.next()
            {
                let told = &customers[place];
                if told.outcome == Outcome::NotSent {
                    continue;
                }
                let customer = Customer::new(self.seed, told.number);
                let again = Arc::clone(shop).ask_again(customer, told.cookie.clone());
                asking.spawn(async move { (place, again.await) });
            }
            let Some(answered) = asking.join_next().await else {
                return Ok(());
            };
            let (place, (outcome, odd)) = answered?;
            let told = &mut customers[place];
            told.odd.extend(odd);
            if told.outcome == Outcome::Info {
                told.outcome = outcome;
            } else {
                told.again.push(outcome);
            }
        }
    }
}

/// Orders a second for a shop that can do so many.
fn rate(can: f64) -> u32 {
    ENOUGH.clamp(can * SHARE, can * MOST).max(1.0) as u32
}

fn due(number: u32, rate: u32) -> Duration {
    Duration::from_secs(1) * number / rate
}

/// Until nothing is left to do; `Err` within when something still is.
async fn drain(
    stage: &Stage,
    poison: &[String],
    progress: &Progress,
) -> anyhow::Result<Result<(), String>> {
    let forgotten = again(|| stage.ten_minutes_pass()).await?;
    progress.say(&format!(
        "ten minutes pass for {forgotten} orders that are pending"
    ));
    let until = Instant::now() + DRAIN_LIMIT;
    loop {
        let left = again(|| stage.left(poison)).await?;
        if left.is_nothing() {
            return Ok(Ok(()));
        }
        progress.phase(format!("draining ({left})"));
        if Instant::now() > until {
            return Ok(Err(format!("after {DRAIN_LIMIT:?} there is left: {left}")));
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_ordered_and_a_little_more_where_that_is_slow() {
        for (can, expected) in [(1500.0, 750), (100.0, 50), (38.0, 20), (20.0, 12), (0.1, 1)] {
            assert_eq!(rate(can), expected, "{can}");
        }
    }
}
