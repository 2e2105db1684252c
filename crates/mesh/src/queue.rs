//! The queue of the mesh, for looking at it ourselves.

use std::{collections::BTreeMap, time::Duration};

use mesh_config::{Reader, Section, load};
use mesh_context::Policy;
use mesh_messaging::{Driver, Queue, QueueConfig};
use prometheus::Registry;

/// What we do with it is nobody's request: any will do.
const LIMIT: Duration = Duration::from_secs(1);

struct Settings(QueueConfig);

impl Section for Settings {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self(QueueConfig::read(reader))
    }
}

/// None for settings that no process of the mesh would start with.
pub(crate) fn open(settings: &BTreeMap<String, String>) -> Option<(Queue, Driver)> {
    let Settings(config) = load::<Settings>(settings).ok()?.config;
    let config = config.for_any_message();
    Queue::open(&config, &Policy::inside(LIMIT), &Registry::new()).ok()
}
