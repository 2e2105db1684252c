//! How long the store may take for one transaction.

use std::{future::Future, io, time::Duration};

use mesh_context::Deadline;
use tokio::time::{Instant, timeout_at};

use crate::error::OutOfTime;

/// No transaction takes longer, whatever its request has left.
const LONGEST: Duration = Duration::from_secs(3);

/// The earlier of the request's deadline and 3 s from the beginning of the transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    deadline: Deadline,
    until: Deadline,
}

impl Limit {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            until: deadline.shorten_to(LONGEST),
        }
    }

    /// Of work that no request waits for: when it takes longer, that is the store's fault.
    pub(crate) fn alone(time: Duration) -> Self {
        Self {
            deadline: Deadline::after(2 * time),
            until: Deadline::after(time),
        }
    }

    pub(crate) fn remaining(self) -> Duration {
        self.until.remaining()
    }

    fn instant(self) -> Instant {
        self.until.instant()
    }

    /// Waits for `work` no longer than this, and says whose time it was that ran out.
    pub(crate) async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match timeout_at(self.instant(), work).await {
            Ok(Err(error)) if is_statement_timeout(&error) => Err(self.exceeded()),
            Ok(result) => result,
            Err(_) => Err(self.exceeded()),
        }
    }

    /// The error for work that took too long.
    pub(crate) fn exceeded(self) -> sqlx::Error {
        let inner: Box<dyn std::error::Error + Send + Sync> = if self.until == self.deadline {
            Box::new(OutOfTime)
        } else {
            "no answer in time".into()
        };
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, inner))
    }
}

/// PostgreSQL ended a statement that ran into the `statement_timeout` that its transaction had set from the limit.
fn is_statement_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("57014"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[tokio::test(start_paused = true)]
    async fn it_is_what_is_left_but_never_more_than_three_seconds() {
        for (left, expected) in [(500, 500), (3_000, 3_000), (4_600, 3_000)] {
            let limit = Limit::new(Deadline::after(Duration::from_millis(left)));
            assert_eq!(limit.remaining(), Duration::from_millis(expected));
        }
    }

    /// How work that never ends, ends within `limit`, and after how many milliseconds.
    async fn end(limit: Limit) -> (Error, u128) {
        let begun = Instant::now();
        let forever = std::future::pending::<Result<(), sqlx::Error>>();
        let error = limit.bound(forever).await.unwrap_err().into();
        (error, begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_never_ends_is_the_stores_fault_only_while_the_request_has_time() {
        let of = |millis| Limit::new(Deadline::after(Duration::from_millis(millis)));
        assert!(matches!(end(of(500)).await, (Error::DeadlineExceeded, 500)));
        assert!(matches!(
            end(of(60_000)).await,
            (Error::Unavailable { .. }, 3_000)
        ));
        assert!(matches!(
            end(Limit::alone(Duration::from_secs(1))).await,
            (Error::Unavailable { .. }, 1_000)
        ));
    }
}
