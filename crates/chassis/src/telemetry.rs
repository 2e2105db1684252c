//! Logs and spans: what the process says about itself while it works.
//!
//! ```text
//!  tracing events ─► filter (RUST_LOG, PUT /log-level) ─┐
//!  access log     ─► the same filter, asked once        ├─► lines ─► one writer thread ─► stdout
//!                                                       │   bounded; what finds no room is counted and said
//!  spans (sampled requests only) ─► queue ─► batches ───┴─► OTLP collector
//!                                   bounded; what finds no room is counted
//! ```

mod access;
mod export;
mod format;
mod lines;
mod logs;
pub mod names;
mod otlp;
pub(crate) mod panics;
mod resource;
mod timestamp;

use mesh_config::Reader;
use mesh_context::{Formats, Sampler};

pub(crate) use self::{
    access::{AccessLines, line as access_line},
    export::SpanQueue,
    format::Format,
    lines::Lines,
    logs::{LogLevel, Logs},
    otlp::exporter,
    resource::ResourceConfig,
};

/// What is logged and what is exported.
/// The broker's client logs every connection that it loses, more than once; our own supervisor of it says what matters.
const DEFAULT_FILTER: &str = "info,lapin=off";

#[derive(Debug)]
pub(crate) struct TelemetryConfig {
    /// Directives of `RUST_LOG`, known to be well formed.
    pub(crate) filter: String,
    pub(crate) resource: ResourceConfig,
    /// Where spans go; none are made without it.
    pub(crate) endpoint: Option<String>,
    pub(crate) sampler: Sampler,
    pub(crate) formats: Formats,
}

impl TelemetryConfig {
    pub(crate) fn read(reader: &mut Reader<'_>, name: &'static str) -> Self {
        Self {
            filter: reader
                .parsed("RUST_LOG", DEFAULT_FILTER, |text| {
                    logs::parse_filter(text).map(|_| text.to_owned())
                })
                .unwrap_or_default(),
            resource: ResourceConfig::read(reader, name),
            endpoint: read_endpoint(reader),
            sampler: read_sampler(reader),
            formats: reader
                .parsed(
                    "OTEL_PROPAGATORS",
                    "tracecontext,baggage,b3,b3multi",
                    |text| Formats::parse(text).map_err(|error| error.to_string()),
                )
                .unwrap_or(Formats::ALL),
        }
    }
}

fn read_endpoint(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let endpoint = reader.optional(NAME)?;
    match otlp::check_endpoint(&endpoint) {
        Ok(()) => Some(endpoint),
        Err(reason) => {
            reader.reject(NAME, &endpoint, reason);
            None
        }
    }
}

fn read_sampler(reader: &mut Reader<'_>) -> Sampler {
    let ratio = reader.optional("OTEL_TRACES_SAMPLER_ARG");
    reader
        .parsed("OTEL_TRACES_SAMPLER", "parentbased_always_on", |name| {
            Sampler::parse(name, ratio.as_deref()).map_err(|error| match &ratio {
                Some(ratio) => format!("{error}; OTEL_TRACES_SAMPLER_ARG is {ratio:?}"),
                None => error.to_string(),
            })
        })
        .unwrap_or(Sampler::PARENT_BASED_ON)
}
