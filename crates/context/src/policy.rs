//! How a process reads what arrives: whom it trusts, how long it works, what it samples, which formats it speaks.

use std::{sync::Arc, time::Duration};

use crate::{Sampler, SpanSink};

/// One per process, made from its settings.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The caller is one of us, or a proxy that cleans what comes from outside. When not, trace ids and request id are
    /// kept, but the sampling decision is our own and no deadline is taken.
    pub trusted: bool,
    /// The longest this process works on one request.
    pub limit: Duration,
    /// Decides which traces are recorded; without [`Policy::spans`] nothing is.
    pub sampler: Sampler,
    /// Which trace formats are read and written.
    pub formats: Formats,
    /// Where finished spans go. `None`: this process makes no spans and copies headers as they came.
    pub spans: Option<Arc<dyn SpanSink>>,
}

impl Policy {
    /// Of a process inside the mesh that makes no spans: trusts its caller, speaks every format.
    #[must_use]
    pub fn inside(limit: Duration) -> Self {
        Self {
            trusted: true,
            limit,
            sampler: Sampler::PARENT_BASED_ON,
            formats: Formats::ALL,
            spans: None,
        }
    }
}

/// Trace formats, as `OTEL_PROPAGATORS` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    pub(crate) w3c: bool,
    pub(crate) baggage: bool,
    pub(crate) b3: bool,
    pub(crate) b3_multi: bool,
}

/// The list names a propagator that we do not speak.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown propagator {0:?}: expected tracecontext, baggage, b3, b3multi, or none")]
pub struct UnknownPropagator(String);

impl Formats {
    /// `tracecontext,baggage,b3,b3multi`, the default.
    pub const ALL: Self = Self {
        w3c: true,
        baggage: true,
        b3: true,
        b3_multi: true,
    };
    /// `none`.
    pub const NONE: Self = Self {
        w3c: false,
        baggage: false,
        b3: false,
        b3_multi: false,
    };

    /// From `OTEL_PROPAGATORS`: names behind commas, or `none`.
    ///
    /// # Errors
    /// A name is not one of ours.
    pub fn parse(list: &str) -> Result<Self, UnknownPropagator> {
        let mut formats = Self::NONE;
        for name in list.split(',').map(str::trim) {
            match name {
                "tracecontext" => formats.w3c = true,
                "baggage" => formats.baggage = true,
                "b3" => formats.b3 = true,
                "b3multi" => formats.b3_multi = true,
                "none" => return Ok(Self::NONE),
                unknown => return Err(UnknownPropagator(unknown.to_owned())),
            }
        }
        Ok(formats)
    }
}
