//! A panic is a log line like any other, with place and message; what becomes of the task or request is for others.

use std::panic::{self, PanicHookInfo};

/// From now on panics are logged and not printed.
pub(crate) fn log() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = message(info), "panic");
    }));
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("of an unknown type")
}
