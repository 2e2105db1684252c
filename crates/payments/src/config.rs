//! The settings of payments alone.

use mesh_config::{Reader, Section};
use mesh_store::StoreConfig;

/// The settings of payments alone.
#[derive(Debug)]
pub struct Config {
    pub(crate) store: StoreConfig,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            store: StoreConfig::read(reader, "payments"),
        }
    }
}
