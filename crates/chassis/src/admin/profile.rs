//! `GET /debug/pprof/profile` and `GET /debug/pprof/heap`: gzipped pprof protobuf, one at a time.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;

use super::{Answer, Asked, State, body_of, text};
use crate::profile::{self, ProfileError};

/// For how long, unless the query says so.
const SECONDS: u32 = 30;
/// Samples per second of CPU time, unless the query says so: not a divisor of what periodic work runs at.
const FREQUENCY: u32 = 99;

/// Whether a profile is being taken, and until when at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profiling(Arc<Mutex<Option<Instant>>>);

/// The right to take a profile, until dropped.
#[derive(Debug)]
pub(super) struct Turn(Profiling);

impl Profiling {
    /// For so long; or how many seconds the one that is being taken still needs.
    pub(super) fn begin(&self, time: Duration) -> Result<Turn, u64> {
        let mut until = self.until();
        let now = Instant::now();
        if let Some(until) = *until {
            let left = until.duration_since(now);
            return Err(left.as_secs() + u64::from(left.subsec_nanos() > 0 || left.is_zero()));
        }
        *until = Some(now + time);
        Ok(Turn(self.clone()))
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.until() = None;
    }
}

pub(super) fn cpu(state: Arc<State>, asked: Asked) -> BoxFuture<'static, Answer> {
    async move {
        let seconds = number(&asked.query, "seconds", SECONDS, 1..=60);
        let frequency = number(&asked.query, "frequency", FREQUENCY, 1..=1000);
        let (seconds, frequency) = match (seconds, frequency) {
            (Ok(seconds), Ok(frequency)) => (seconds, frequency),
            (Err(reason), _) | (_, Err(reason)) => {
                return text(StatusCode::BAD_REQUEST, format!("{reason}\n"));
            }
        };
        let time = Duration::from_secs(seconds.into());
        match state.profiling.begin(time) {
            Ok(_turn) => answer(profile::cpu(time, frequency).await, 1),
            Err(left) => answer(Err(ProfileError::Busy), left),
        }
    }
    .boxed()
}

pub(super) fn heap(state: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    async move {
        match state.profiling.begin(Duration::ZERO) {
            Ok(_turn) => answer(profile::heap().await, 1),
            Err(left) => answer(Err(ProfileError::Busy), left),
        }
    }
    .boxed()
}

fn answer(profile: Result<Vec<u8>, ProfileError>, retry_after: u64) -> Answer {
    match profile {
        Ok(profile) => body_of(StatusCode::OK, "application/octet-stream", profile),
        Err(error @ ProfileError::Unsupported) => {
            text(StatusCode::NOT_IMPLEMENTED, format!("{error}\n"))
        }
        Err(error @ ProfileError::Busy) => {
            let mut refusal = text(StatusCode::CONFLICT, format!("{error}\n"));
            refusal
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
            refusal
        }
        Err(error @ ProfileError::Failed { .. }) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no profile");
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

/// A number of the query, given once, or its default.
fn number(
    query: &str,
    name: &str,
    default: u32,
    range: RangeInclusive<u32>,
) -> Result<u32, String> {
    let pairs = query.split('&');
    let mut given = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter_map(|(key, value)| (key == name).then_some(value));
    let value = match (given.next(), given.next()) {
        (None, _) => return Ok(default),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(format!("{name} must be given once")),
    };
    let whole = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    whole
        .and_then(|value| value.parse().ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "{name} must be a whole number from {} to {}, not {value:?}",
                range.start(),
                range.end()
            )
        })
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_profile_of_any_kind_at_a_time() {
        let profiling = Profiling::default();
        let turn = profiling.begin(Duration::from_secs(60)).ok();
        assert!(turn.is_some());
        assert_eq!(profiling.begin(Duration::ZERO).err(), Some(60));
        advance(Duration::from_millis(30_500)).await;
        assert_eq!(profiling.begin(Duration::ZERO).err(), Some(30));
        advance(Duration::from_secs(60)).await;
        let busy = profiling.begin(Duration::ZERO).err();
        assert_eq!(busy, Some(1), "it is still being encoded");
        drop(turn);
        assert!(profiling.begin(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_number_is_in_its_range_or_refused() {
        let seconds = |query| number(query, "seconds", 30, 1..=60);
        assert_eq!(seconds(""), Ok(30));
        assert_eq!(seconds("frequency=99&seconds=5"), Ok(5));
        for bad in [
            "seconds=0",
            "seconds=61",
            "seconds=",
            "seconds=-1",
            "seconds=1.5",
            "seconds=x",
            "seconds=+1",
            "seconds",
            "seconds=1&seconds=61",
            "seconds=61&seconds=1",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
