//! What can go wrong with the queue, by what the caller can do about it.

use std::sync::Arc;

/// Why the queue did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The queue is away, or did not confirm in time; whether it has the message is not known. The same again may work
    /// later, and a message that arrives twice does no harm.
    #[error("queue unavailable: {reason}")]
    Unavailable {
        /// What is known about why.
        reason: Arc<str>,
    },
    /// The broker answered that it does not have the message: no queue for it, or none that takes it.
    #[error("queue refused the message: {reason}")]
    Refused {
        /// What the broker said.
        reason: String,
    },
    /// The delivery is no longer ours: the queue was away, or this process was paused for too long. It comes again.
    #[error("the delivery is no longer ours, it comes again")]
    Lost,
}

impl Error {
    pub(crate) fn unavailable(reason: impl Into<Arc<str>>) -> Self {
        Self::Unavailable {
            reason: reason.into(),
        }
    }
}
