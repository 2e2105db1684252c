//! The settings of inventory alone.

use mesh_config::{Reader, Section};
use mesh_store::StoreConfig;

/// Enough to try things out without refilling.
const SEED_STOCK: u64 = 1_000;
const MOST_STOCK: u64 = 1_000_000_000;

/// The settings of inventory alone.
#[derive(Debug)]
pub struct Config {
    pub(crate) store: StoreConfig,
    pub(crate) seed_stock: u64,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            store: StoreConfig::read(reader, "inventory"),
            seed_stock: reader.count("MESH_SEED_STOCK", SEED_STOCK, 0..=MOST_STOCK),
        }
    }
}
