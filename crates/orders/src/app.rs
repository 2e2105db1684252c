//! Wiring.

use std::path::PathBuf;

use mesh_chassis::{BoxError, GrpcInbound, Inbound, OnExit, Runtime};
use mesh_client::Downstream;
use mesh_messaging::{Queue, QueueConfig};
use mesh_proto::{FILE_DESCRIPTOR_SET, orders::v1::orders_service_server::OrdersServiceServer};
use mesh_store::{Store, StoreConfig};
use sqlx::migrate::Migrator;

use crate::{
    clock::Clock,
    config::Config,
    metrics::{Metrics, WorkMetrics},
    peers::{INVENTORY, PAYMENTS},
    purge,
    reconcile::Reconciler,
    relay::Relay,
    service::Service,
};

/// How the tables of orders are made.
pub const MIGRATIONS: Migrator = sqlx::migrate!();

pub(crate) fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
    let Config {
        store,
        queue,
        lease,
        inventory,
        payments,
    } = config;
    let lock = lock_file(&store);
    let store = Store::open(&store, "orders", MIGRATIONS);
    connect(&store, runtime);
    let inventory = Downstream::new(&INVENTORY, &inventory, runtime.metrics())?;
    let payments = Downstream::new(&PAYMENTS, &payments, runtime.metrics())?;
    let tasks = runtime.tasks().clone();
    let service = Service::new(store, inventory, payments, tasks, Clock::system());
    purge::start(&service);
    relay(&service, &queue, runtime)?;
    let election = lease.election(lock, service.store.clone());
    let metrics = WorkMetrics::register(runtime.metrics())?;
    Reconciler::new(&service, runtime).start(election, metrics);
    let inbound = GrpcInbound::new(FILE_DESCRIPTOR_SET)
        .add(OrdersServiceServer::new(service))
        .critical("/shop.orders.v1.OrdersService/GetOrder")
        .critical("/shop.orders.v1.OrdersService/ListOrders");
    Ok(Inbound::Grpc(inbound))
}

/// What processes of one machine lock to reconcile: beside the store, where that is a file.
fn lock_file(store: &StoreConfig) -> PathBuf {
    let file = store.file().map(|store| store.with_extension("lease"));
    file.unwrap_or_else(|| PathBuf::from(".mesh/orders.lease"))
}

fn connect(store: &Store, runtime: &Runtime) {
    let (store, blocker) = (store.clone(), runtime.readiness().register("store"));
    runtime
        .tasks()
        .spawn("store-connect", OnExit::Ignore, async move {
            store.connect_until_ready().await;
            blocker.ready();
        });
}

/// Publishes what the service records.
fn relay(service: &Service, queue: &QueueConfig, runtime: &Runtime) -> Result<(), BoxError> {
    let (queue, driver) = Queue::open(queue, runtime.policy(), runtime.metrics())?;
    let tasks = runtime.tasks().clone();
    tasks.spawn("queue", OnExit::ShutDown, driver.run());
    let (mut connected, blocker) = (queue.connected(), runtime.readiness().register("queue"));
    tasks.spawn("queue-connect", OnExit::Ignore, async move {
        if connected.wait_for(|connected| *connected).await.is_ok() {
            blocker.ready();
        }
    });
    let relay = Relay {
        store: service.store.clone(),
        queue,
        tasks,
        clock: service.clock.clone(),
    };
    relay.start(Metrics::register(runtime.metrics())?);
    Ok(())
}
