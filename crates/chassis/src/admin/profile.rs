//! `GET /debug/pprof/profile` and `GET /debug/pprof/heap`: gzipped pprof protobuf, one at a time.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header};

use super::{Answer, Asked, State, body_of, text};
use crate::profile::{self, ProfileError};

/// For how long, unless the query says so.
const SECONDS: u32 = 30;
/// Samples per second of CPU time, unless the query says so: not a divisor of what periodic work runs at.
const FREQUENCY: u32 = 99;

pub(super) fn cpu(_: Arc<State>, asked: Asked) -> BoxFuture<'static, Answer> {
    async move {
        let seconds = number(&asked.query, "seconds", SECONDS, 1..=60);
        let frequency = number(&asked.query, "frequency", FREQUENCY, 1..=1000);
        let (seconds, frequency) = match (seconds, frequency) {
            (Ok(seconds), Ok(frequency)) => (seconds, frequency),
            (Err(reason), _) | (_, Err(reason)) => {
                return text(StatusCode::BAD_REQUEST, format!("{reason}\n"));
            }
        };
        let profile = profile::cpu(Duration::from_secs(seconds.into()), frequency).await;
        answer(profile, seconds)
    }
    .boxed()
}

pub(super) fn heap(_: Arc<State>, _: Asked) -> BoxFuture<'static, Answer> {
    async { answer(profile::heap().await, 1) }.boxed()
}

fn answer(profile: Result<Vec<u8>, ProfileError>, retry_after: u32) -> Answer {
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

/// A number of the query, or its default.
fn number(
    query: &str,
    name: &str,
    default: u32,
    range: RangeInclusive<u32>,
) -> Result<u32, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.rev().find(|(key, _)| *key == name) else {
        return Ok(default);
    };
    value
        .parse()
        .ok()
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
    use super::*;

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
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
