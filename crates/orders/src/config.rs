//! Settings of orders.

use mesh_client::DownstreamConfig;
use mesh_config::{Reader, Section};
use mesh_messaging::QueueConfig;
use mesh_store::StoreConfig;

use crate::{
    lease::LeaseConfig,
    peers::{INVENTORY, PAYMENTS},
};

/// Where the store, the queue, the lease and the peers are.
#[derive(Debug)]
pub struct Config {
    pub(crate) store: StoreConfig,
    pub(crate) queue: QueueConfig,
    pub(crate) lease: LeaseConfig,
    pub(crate) inventory: DownstreamConfig,
    pub(crate) payments: DownstreamConfig,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            store: StoreConfig::read(reader, "orders"),
            queue: QueueConfig::read(reader),
            lease: LeaseConfig::read(reader),
            inventory: DownstreamConfig::read(reader, &INVENTORY),
            payments: DownstreamConfig::read(reader, &PAYMENTS),
        }
    }
}
