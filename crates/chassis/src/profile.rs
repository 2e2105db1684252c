//! CPU and heap profiles of the running process, as gzipped pprof protobuf (`go tool pprof` opens them).
//!
//! ```text
//!  SIGPROF, so often per CPU second ─► sampler: registers + frame pointers into slots made beforehand
//!  jemalloc, one allocation in 512 KiB ─► jemalloc: its own dump, made unbiased
//!                                             └─► stacks ─► symbols (this executable's) ─► pprof ─► gzip
//! ```
//!
//! Safe under load: the signal handler neither allocates nor locks, and reads the stack by a system call that fails where a
//! load would fault. One profile at a time. Linux on x86-64 and aarch64; elsewhere [`Unsupported`].
//!
//! Stacks need frame pointers: `.cargo/config.toml` turns them on.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod jemalloc;
mod pprof;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod sampler;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod symbols;

use std::{collections::HashMap, time::Duration};

/// Code addresses, innermost first.
type Stack = Vec<u64>;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// This system cannot.
    #[error("profiling is for Linux on x86-64 and aarch64")]
    #[cfg_attr(
        all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ),
        expect(dead_code, reason = "the other systems' answer")
    )]
    Unsupported,
    /// Another profile is being taken.
    #[error("another profile is being taken; one at a time")]
    Busy,
    /// A system call failed.
    #[error("{what}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// What the numbers of a profile are.
struct Scale {
    /// Name and unit of the two values of each sample.
    values: [(&'static str, &'static str); 2],
    /// Name, unit and value of one period.
    period: (&'static str, &'static str, i64),
    duration: Duration,
}

/// Both values of each stack.
type Samples = HashMap<Stack, [i64; 2]>;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod supported {
    use std::time::Duration;

    use super::{ProfileError, jemalloc, pprof, sampler, symbols::Symbols};

    /// Samples where the CPU time goes, for `time`, so often per second of CPU time. Dropping the future ends it.
    pub(crate) async fn cpu(time: Duration, frequency: u32) -> Result<Vec<u8>, ProfileError> {
        let sampling = sampler::Sampling::start(time, frequency)?;
        tokio::time::sleep(time).await;
        let (samples, scale) = sampling.finish();
        encode(move || Ok((samples, scale))).await
    }

    /// What is allocated and not freed yet, by where it was allocated.
    pub(crate) async fn heap() -> Result<Vec<u8>, ProfileError> {
        encode(jemalloc::live).await
    }

    /// Symbols are read from the executable's file: off the control thread.
    async fn encode(
        take: impl FnOnce() -> Result<(super::Samples, super::Scale), ProfileError> + Send + 'static,
    ) -> Result<Vec<u8>, ProfileError> {
        let encoded = tokio::task::spawn_blocking(move || {
            let (samples, scale) = take()?;
            let symbols = Symbols::of(samples.keys().flatten().copied());
            pprof::encode(&samples, &scale, &symbols).map_err(|source| ProfileError::Failed {
                what: "compressing the profile",
                source,
            })
        });
        encoded.await.unwrap_or_else(|error| {
            Err(ProfileError::Failed {
                what: "encoding the profile",
                source: std::io::Error::other(error),
            })
        })
    }
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) use supported::{cpu, heap};

/// This system cannot.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(crate) async fn cpu(_: Duration, _: u32) -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::Unsupported)
}

/// This system cannot.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(crate) async fn heap() -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::Unsupported)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
