//! Wiring.

use mesh_chassis::{GrpcInbound, Inbound, OnExit, Runtime};
use mesh_proto::{
    FILE_DESCRIPTOR_SET, payments::v1::payments_service_server::PaymentsServiceServer,
};
use mesh_store::Store;
use sqlx::migrate::Migrator;

use crate::{config::Config, provider::BuiltIn, service::Service, store::Charges};

/// How the tables of payments are made.
pub(crate) const MIGRATIONS: Migrator = sqlx::migrate!();

pub(crate) fn build(config: Config, runtime: &Runtime) -> Inbound {
    let Config { store } = config;
    let store = Store::open(&store, "payments", MIGRATIONS);
    connect(store.clone(), runtime);
    let provider = BuiltIn::new(store.clone());
    let service = Service::new(Charges::new(store), provider, runtime.tasks().clone());
    let inbound = GrpcInbound::new(FILE_DESCRIPTOR_SET)
        .add(PaymentsServiceServer::new(service))
        .critical("/shop.payments.v1.PaymentsService/GetCharge");
    Inbound::Grpc(inbound)
}

fn connect(store: Store, runtime: &Runtime) {
    let blocker = runtime.readiness().register("store");
    runtime
        .tasks()
        .spawn("store-connect", OnExit::Ignore, async move {
            store.connect_until_ready().await;
            blocker.ready();
        });
}
