//! What can go wrong with the store, by what the caller can do about it.

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is away, not ready or overfull. The same again may work later.
    #[error("store unavailable: {source}")]
    Unavailable {
        /// What the database or the network said.
        source: sqlx::Error,
    },
    /// The request had no time left.
    #[error("no time left for the store")]
    DeadlineExceeded,
    /// The store refused a statement or holds something unexpected: our own fault.
    #[error("store failed: {source}")]
    Failed {
        /// What the database said.
        source: sqlx::Error,
    },
}

/// Travels inside an [`sqlx::Error`] when the request's deadline, not the store's slowness, ended an operation.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
pub(crate) struct OutOfTime;

impl Error {
    /// A row of the same key is there already.
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Failed { source } => source
                .as_database_error()
                .is_some_and(|error| error.is_unique_violation()),
            Self::Unavailable { .. } | Self::DeadlineExceeded => false,
        }
    }

    pub(crate) fn unavailable(reason: &'static str) -> Self {
        Self::Unavailable {
            source: sqlx::Error::Io(std::io::Error::other(reason)),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        match &source {
            sqlx::Error::Io(error)
                if error.get_ref().is_some_and(|inner| inner.is::<OutOfTime>()) =>
            {
                Self::DeadlineExceeded
            }
            // Protocol: the other side hung up, or is no database; whatever was asked may have been done.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable { source },
            sqlx::Error::Database(error) if is_away(error.code().as_deref()) => {
                Self::Unavailable { source }
            }
            _ => Self::Failed { source },
        }
    }
}

/// Whether a database's code says that it cannot work now, rather than that it will not do this. One that does not let us
/// in, or not at what is ours, is away too: whoever set it up so will set it right, and until then work is to be held.
///
/// PostgreSQL's codes have five characters (<https://www.postgresql.org/docs/15/errcodes-appendix.html>), SQLite's are
/// numbers whose low byte is the primary code (<https://www.sqlite.org/rescode.html>).
fn is_away(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    if code.len() == 5 && code.is_ascii() {
        // Connection lost, no resources, shut down or starting, the system's own fault, deadlock or serialization failure
        // (nothing was done), we are not let in; no such database, no right to a table, lock not available, a standby that
        // takes no writes, ended for being idle too long.
        return ["08", "53", "57", "58", "40", "28"].contains(&&code[..2]) && code != "08P01"
            || ["3D000", "42501", "55P03", "25006", "25P03"].contains(&code);
    }
    // BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
    code.parse::<i32>()
        .is_ok_and(|code| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_pass_by_themselves_mean_away() {
        for away in [
            "08006", "53300", "57P01", "57P03", "57014", "58030", "40P01", "28P01", "3D000",
            "42501", "25006", "5", "261", "8", "14", "522",
        ] {
            assert!(is_away(Some(away)), "{away}");
        }
        for ours in [
            "23505", "42601", "42P01", "22003", "25P02", "08P01", "1", "19", "2067", "26", "ééa",
        ] {
            assert!(!is_away(Some(ours)), "{ours}");
        }
        assert!(!is_away(None));
    }

    #[test]
    fn the_requests_own_end_is_told_from_a_slow_store() {
        let timed_out = |inner: Box<dyn std::error::Error + Send + Sync>| {
            Error::from(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                inner,
            )))
        };
        assert!(matches!(
            timed_out(Box::new(OutOfTime)),
            Error::DeadlineExceeded
        ));
        assert!(matches!(
            timed_out("no answer".into()),
            Error::Unavailable { .. }
        ));
        assert!(matches!(
            Error::from(sqlx::Error::RowNotFound),
            Error::Failed { .. }
        ));
    }
}
