//! How settings are read from the environment: every problem is reported at once.
//!
//! A component keeps its settings in a [`Section`] beside the code that uses them. The section asks
//! a [`Reader`] for each value; the reader falls back to the default when a value is missing or bad,
//! and remembers both the value and the problem. [`load`] reads a whole process's settings that way
//! and answers with all of them, or with every problem there is.
//!
//! ```text
//!  environment ─► Source ─► Reader ─► Section::read ─► config      (typed, for the component)
//!                             │
//!                             ├─────► Settings      (name and shown value: --check-config, GET /config)
//!                             └─────► ConfigErrors  (every bad value and every unknown MESH_ name)
//! ```
//!
//! ```
//! use std::{collections::BTreeMap, time::Duration};
//! use mesh_config::{Reader, Section, load};
//!
//! struct Drain { delay: Duration }
//!
//! impl Section for Drain {
//!     fn read(reader: &mut Reader<'_>) -> Self {
//!         Drain { delay: reader.duration("MESH_DRAIN_DELAY", Duration::from_secs(5)) }
//!     }
//! }
//!
//! let source = BTreeMap::from([("MESH_DRAIN_DELAY".to_owned(), "250ms".to_owned())]);
//! assert_eq!(load::<Drain>(&source).unwrap().config.delay, Duration::from_millis(250));
//! ```

mod error;
mod load;
mod reader;
mod secret;
mod settings;
mod source;
mod value;
mod variables;

pub use error::{ConfigErrors, Problem};
pub use load::{Loaded, Section, load};
pub use reader::Reader;
pub use secret::Secret;
pub use settings::Settings;
pub use source::{Env, Source};
pub use value::{format_duration, parse_duration};
pub use variables::{VARIABLES, Variable};
