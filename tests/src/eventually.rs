//! Waiting for a condition, with a limit.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

/// How long to leave alone what is waited for between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until the answer is `Ok`.
///
/// # Panics
///
/// When it still is `Err` after `limit`, with the last one.
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    limit: Duration,
    what: &str,
    look: impl FnMut() -> F,
) -> T {
    patiently(limit, PAUSE, what, look).await
}

/// As [`eventually`], with longer pauses: for what takes seconds, and when many wait at the same time.
///
/// # Panics
///
/// When it still is `Err` after `limit`, with the last one.
pub async fn patiently<T, E: Debug, F: Future<Output = Result<T, E>>>(
    limit: Duration,
    pause: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + limit;
    let mut last = None;
    loop {
        match timeout_at(end, look()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(error)) => last = Some(error),
            Err(_) => panic!("{what}: not within {limit:?}; last seen: {last:?}"),
        }
        assert!(
            Instant::now() < end,
            "{what}: not within {limit:?}; last seen: {last:?}"
        );
        sleep(pause).await;
    }
}
