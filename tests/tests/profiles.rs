//! Profiles are taken from a process at work: they name what it does, and fifty in a row harm nothing.

#![cfg(target_os = "linux")]

use std::{
    collections::HashMap,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flate2::read::GzDecoder;
use mesh_proto::inventory::v1::{
    GetProductsRequest, inventory_service_client::InventoryServiceClient,
};
use mesh_tests::Processes;
use prost::Message;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::transport::Endpoint;

/// Calls a second.
const RATE: u64 = 1000;
/// Calls begun at once, so many times a second.
const BATCH: u64 = 10;
/// CPU profiles of a second each, and heap profiles between them.
const EACH: usize = 25;

/// As much of <https://github.com/google/pprof/blob/main/proto/profile.proto> as says who used how much.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn read(gzipped: &[u8]) -> Self {
        let mut bytes = Vec::new();
        GzDecoder::new(gzipped)
            .read_to_end(&mut bytes)
            .expect("it is gzip");
        Self::decode(&bytes[..]).expect("it is a profile")
    }

    /// The share of all that was measured in stacks with such a function.
    fn share(&self, function: &str) -> f64 {
        let named = |f: &&Function| {
            self.strings[usize::try_from(f.name).expect("an index")].contains(function)
        };
        let functions: Vec<u64> = self.function.iter().filter(named).map(|f| f.id).collect();
        let within = |l: &&Location| {
            l.line
                .iter()
                .any(|line| functions.contains(&line.function_id))
        };
        let locations: HashMap<u64, ()> = self
            .location
            .iter()
            .filter(within)
            .map(|l| (l.id, ()))
            .collect();
        let value = |sample: &Sample| sample.value[1] as f64;
        let all: f64 = self.sample.iter().map(value).sum();
        let hit = |sample: &&Sample| {
            sample
                .location_id
                .iter()
                .any(|id| locations.contains_key(id))
        };
        self.sample.iter().filter(hit).map(value).sum::<f64>() / all
    }
}

/// Calls so often until dropped, and counts the answers.
async fn load(client: InventoryServiceClient<tonic::transport::Channel>, answered: Arc<AtomicU64>) {
    let mut tick = interval(Duration::from_millis(1000 * BATCH / RATE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    loop {
        tick.tick().await;
        while calls.try_join_next().is_some() {}
        for _ in 0..BATCH {
            let (mut client, answered) = (client.clone(), Arc::clone(&answered));
            calls.spawn(async move {
                if client
                    .get_products(GetProductsRequest::default())
                    .await
                    .is_ok()
                {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_profiles_under_load_name_what_is_hot_and_harm_nothing() {
    let processes = Processes::only(&["inventory"]).start().await;
    let endpoint =
        Endpoint::try_from(format!("http://{}", processes.address("inventory"))).unwrap();
    let client = InventoryServiceClient::new(endpoint.connect_lazy());
    let answered = Arc::new(AtomicU64::new(0));
    let mut background = JoinSet::new();
    background.spawn(load(client, Arc::clone(&answered)));

    let admin = processes.admin("inventory");
    let mut hot = 0.0_f64;
    for _ in 0..EACH {
        let answer = admin
            .get("/debug/pprof/profile?seconds=1")
            .send()
            .await
            .expect_status(200);
        hot = hot.max(Profile::read(&answer.body).share("mesh_chassis::server"));
        let answer = admin
            .get("/debug/pprof/heap")
            .send()
            .await
            .expect_status(200);
        assert!(!Profile::read(&answer.body).sample.is_empty());
    }
    let answered = answered.load(Ordering::Relaxed);
    println!(
        "{answered} calls answered meanwhile, {:.0} % of a profile in the server's layer",
        hot * 100.0
    );
    assert!(
        hot > 0.2,
        "every call goes through the server's layer, but its share is {hot}"
    );
    assert!(
        answered > RATE * EACH as u64 / 10,
        "only {answered} calls were answered"
    );
    let answer = admin.get("/healthz").send().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_second_profile_is_refused_and_so_are_senseless_ones() {
    let processes = Processes::only(&["inventory"]).start().await;
    let admin = processes.admin("inventory");
    let profile = || admin.get("/debug/pprof/profile?seconds=1").send();
    let (one, other) = tokio::join!(profile(), profile());
    let (taken, refused) = if one.status == 200 {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!((taken.status, refused.status), (200, 409));
    assert_eq!(refused.header("retry-after"), "1");
    for query in [
        "seconds=0",
        "seconds=61",
        "frequency=0",
        "frequency=1001",
        "seconds=x",
    ] {
        let path = format!("/debug/pprof/profile?{query}");
        assert_eq!(admin.get(&path).send().await.status, 400, "{query}");
    }
}
