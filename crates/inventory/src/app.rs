//! Wiring.

use mesh_chassis::{GrpcInbound, Inbound, OnExit, Runtime};
use mesh_proto::{
    FILE_DESCRIPTOR_SET, inventory::v1::inventory_service_server::InventoryServiceServer,
};
use mesh_store::Store;
use sqlx::migrate::Migrator;

use crate::{config::Config, grpc::Service, store::Stock};

/// How the tables of inventory are made.
pub(crate) const MIGRATIONS: Migrator = sqlx::migrate!();

pub(crate) fn build(config: Config, runtime: &Runtime) -> Inbound {
    let Config { store, seed_stock } = config;
    let stock = Stock::new(Store::open(&store, "inventory", MIGRATIONS));
    connect(stock.clone(), seed_stock, runtime);
    let service = InventoryServiceServer::new(Service::new(stock));
    let inbound = GrpcInbound::new(FILE_DESCRIPTOR_SET)
        .add(service)
        .critical("/shop.inventory.v1.InventoryService/ListProducts")
        .critical("/shop.inventory.v1.InventoryService/GetProducts");
    Inbound::Grpc(inbound)
}

fn connect(stock: Stock, seed_stock: u64, runtime: &Runtime) {
    let blocker = runtime.readiness().register("store");
    runtime
        .tasks()
        .spawn("store-connect", OnExit::Ignore, async move {
            stock.fill_until_ready(seed_stock).await;
            blocker.ready();
        });
}
