//! Several meshes at once work through all the points: most of the time is spent waiting until a dead holder of a key is
//! taken over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_config::{Env, Source as _};
use mesh_messaging::testing::Place;
use mesh_tests::{Processes, Shop};
use tokio::{task::JoinSet, time::Instant};

use crate::{books::Books, story::Story};

/// At each point, unless `CRASHES` says otherwise.
const CRASHES: usize = 2;
const PROCESSES: [&str; 5] = ["payments", "inventory", "orders", "fulfillment", "gateway"];

/// Where the state of a mesh is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend {
    /// SQLite files.
    Embedded,
    /// PostgreSQL and RabbitMQ.
    Real,
}

impl Backend {
    /// At the same time. One broker serves them all.
    fn meshes(self) -> usize {
        match self {
            Self::Embedded => 7,
            Self::Real => 5,
        }
    }
}

/// A mesh, its customer, and what has been sold.
pub(crate) struct World {
    pub(crate) processes: Processes,
    pub(crate) shop: Shop,
    pub(crate) books: Books,
    pub(crate) sku: String,
    queue: Place,
    stock: i64,
    orders: i64,
    sold: i64,
}

type Point = (&'static str, String);
type Queue = Arc<Mutex<VecDeque<(Point, usize)>>>;

/// Crashes at each point of the processes that are meant.
pub(crate) async fn survive(backend: Backend, meant: fn(&str) -> bool) {
    let first = World::start(backend).await;
    let crashes = Env
        .get("CRASHES")
        .map_or(CRASHES, |text| text.parse().expect("a number"));
    let points = first.points(meant).await;
    let all = (0..crashes).flat_map(|n| points.iter().cloned().map(move |point| (point, n)));
    let queue: Queue = Arc::new(Mutex::new(all.collect()));
    let mut workers = JoinSet::new();
    workers.spawn(work(first, backend, Arc::clone(&queue)));
    // One after the other: to start is most of what they have to compute.
    for _ in 1..backend.meshes() {
        let world = World::start(backend).await;
        workers.spawn(work(world, backend, Arc::clone(&queue)));
    }
    let mut times: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    while let Some(survived) = workers.join_next().await {
        for (point, took) in survived.expect("a mesh survived its crashes") {
            times.entry(point).or_default().push(took);
        }
    }
    println!("{:<36} {:>7} {:>9}", "crash point", "crashes", "slowest");
    for (_, point) in &points {
        let times = &times[point];
        let slowest = times.iter().max().copied().unwrap_or_default();
        println!(
            "{point:<36} {:>7} {:>7.1} s",
            times.len(),
            slowest.as_secs_f64()
        );
        assert_eq!(times.len(), crashes, "{point}");
    }
}

/// One mesh works until nothing is left; the points and how long it took until all was well again.
async fn work(mut world: World, backend: Backend, queue: Queue) -> Vec<(String, Duration)> {
    let mut survived = Vec::new();
    loop {
        let next = queue.lock().expect("nobody panics with it").pop_front();
        let Some(((process, point), n)) = next else {
            break;
        };
        let started = Instant::now();
        world.tell(process, &point, n).await;
        println!("{backend:?} {point} {:.1?}", started.elapsed());
        survived.push((point, started.elapsed()));
    }
    world.close().await;
    survived
}

impl World {
    async fn start(backend: Backend) -> Self {
        let (store, queue) = match backend {
            Backend::Embedded => (None, Place::file()),
            Backend::Real => (
                Some(mesh_store::testing::postgres().await),
                Place::rabbitmq().await,
            ),
        };
        let mut builder = Processes::only(&PROCESSES)
            .set("MESH_QUEUE_URL", queue.url())
            .set_of("fulfillment", "MESH_WORK_TIME", "1ms");
        if let Some(store) = &store {
            builder = builder.set("MESH_STORE_URL", store);
        }
        let processes = builder.start().await;
        let shop = Shop::new(processes.gateway());
        let books = Books::open(store.as_deref(), processes.folder(), queue.url()).await;
        let sku = shop.first_sku().await;
        Self {
            stock: shop.available(&sku).await,
            processes,
            shop,
            books,
            sku,
            queue,
            orders: 0,
            sold: 0,
        }
    }

    /// All crash points there are, as the processes list them.
    async fn points(&self, meant: fn(&str) -> bool) -> Vec<Point> {
        let mut points = Vec::new();
        for process in PROCESSES.into_iter().filter(|name| meant(name)) {
            let list = self.processes.admin(process).get("/debug/crash-points");
            let list = list.send().await.expect_status(200).json();
            let names: Vec<_> = list
                .as_object()
                .into_iter()
                .flat_map(|list| list.keys())
                .cloned()
                .collect();
            assert!(!names.is_empty(), "{process} has no crash points: {list}");
            points.extend(names.into_iter().map(|name| (process, name)));
        }
        points
    }

    /// One order's story, with its crash, up to the moment at which nothing is left to do.
    async fn tell(&mut self, process: &'static str, point: &str, n: usize) {
        let key = format!("{point}-{n}");
        let story = Story::of(point);
        story.tell(self, process, point, &key).await;
        self.books.at_rest(&key, story.end()).await;
        self.orders += 1;
        self.sold += i64::from(story.end().is_sold());
        assert_eq!(self.books.orders().await, self.orders, "{key}: orders");
        let left = self.books.available(&self.sku).await;
        assert_eq!(left, self.stock - self.sold, "{key}: stock");
    }

    /// Nothing is in the queue, nor in anybody's hand.
    async fn close(mut self) {
        self.processes.stop().await;
        let depth = self.queue.process().await.queue.depth().await;
        let depth = depth.expect("the queue is there");
        assert_eq!((depth.ready, depth.dead), (0, 0));
    }
}
