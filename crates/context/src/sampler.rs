//! Which traces are recorded: decided once, before anything is built for a span.
//!
//! Names and meaning are those of `OTEL_TRACES_SAMPLER`:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration>.

use crate::TraceId;

/// A sampling rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    root: Root,
    follow_parent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Root {
    On,
    Off,
    /// Sampled when the lower 63 bits of the trace id are below this.
    Ratio(u64),
}

/// The name is none of OpenTelemetry's, or the ratio is not a number from 0 to 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected always_on, always_off, traceidratio, or one of these behind parentbased_, with a ratio from 0 to 1"
)]
pub struct UnknownSampler;

impl Sampler {
    /// Records what the caller records, and everything that starts here.
    pub const PARENT_BASED_ON: Self = Self {
        root: Root::On,
        follow_parent: true,
    };
    /// Records nothing.
    pub const OFF: Self = Self {
        root: Root::Off,
        follow_parent: false,
    };

    /// From `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` (the ratio; 1 when absent).
    ///
    /// # Errors
    /// The name is unknown or the ratio out of range.
    pub fn parse(name: &str, ratio: Option<&str>) -> Result<Self, UnknownSampler> {
        let (root, follow_parent) = match name.strip_prefix("parentbased_") {
            Some(root) => (root, true),
            None => (name, false),
        };
        let root = match root {
            "always_on" => Root::On,
            "always_off" => Root::Off,
            "traceidratio" => Root::Ratio(bound(ratio.unwrap_or("1"))?),
            _ => return Err(UnknownSampler),
        };
        Ok(Self {
            root,
            follow_parent,
        })
    }

    /// `parent`: the decision of a trusted caller, when there is one.
    pub(crate) fn decide(&self, trace_id: TraceId, parent: Option<bool>) -> bool {
        if let (true, Some(parent)) = (self.follow_parent, parent) {
            return parent;
        }
        match self.root {
            Root::On => true,
            Root::Off => false,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the lower half is what OpenTelemetry compares"
            )]
            Root::Ratio(bound) => (trace_id.as_u128() as u64) >> 1 < bound,
        }
    }
}

/// The bound of OpenTelemetry's TraceIdRatioBased: the ratio of 2^63.
fn bound(ratio: &str) -> Result<u64, UnknownSampler> {
    let ratio: f64 = ratio.trim().parse().map_err(|_| UnknownSampler)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(UnknownSampler);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 2^63"
    )]
    Ok((ratio * (1u64 << 63) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_opentelemetry_decides_as_it_says() {
        let sampled = |name, ratio, parent| {
            let sampler = Sampler::parse(name, ratio).expect("a known name");
            (0..1000)
                .filter(|_| sampler.decide(TraceId::random(), parent))
                .count()
        };
        for (name, none, yes, no) in [
            ("always_on", 1000, 1000, 1000),
            ("always_off", 0, 0, 0),
            ("parentbased_always_on", 1000, 1000, 0),
            ("parentbased_always_off", 0, 1000, 0),
        ] {
            assert_eq!(sampled(name, None, None), none, "{name}");
            assert_eq!(sampled(name, None, Some(true)), yes, "{name}");
            assert_eq!(sampled(name, None, Some(false)), no, "{name}");
        }
        assert!((400..600).contains(&sampled("traceidratio", Some("0.5"), Some(false))));
        assert!((400..600).contains(&sampled("parentbased_traceidratio", Some("0.5"), None)));
        assert_eq!(sampled("traceidratio", Some("0"), None), 0);
        assert_eq!(sampled("traceidratio", None, None), 1000);
    }

    #[test]
    fn unknown_names_and_ratios_are_refused() {
        for (name, ratio) in [
            ("sometimes", None),
            ("", None),
            ("traceidratio", Some("2")),
            ("traceidratio", Some("x")),
        ] {
            assert_eq!(Sampler::parse(name, ratio), Err(UnknownSampler));
        }
    }
}
