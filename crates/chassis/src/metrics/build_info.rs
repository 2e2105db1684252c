//! `build_info`: which build this is.

use prometheus::{IntGauge, Opts, Registry};

use crate::version::{REVISION, VERSION};

pub(super) fn register(registry: &Registry, name: &str) -> Result<(), prometheus::Error> {
    let opts = Opts::new("build_info", "Always 1; the labels say what was built.")
        .const_label("name", name)
        .const_label("version", VERSION)
        .const_label("revision", REVISION);
    let info = IntGauge::with_opts(opts)?;
    info.set(1);
    registry.register(Box::new(info))
}
