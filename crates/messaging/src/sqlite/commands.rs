//! What a driver is asked to do, and doing it within a transaction. Answers are given once that is committed.

use std::fmt;

use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::statements;
use crate::{DeadLetter, Depth, Replay, queue::Outgoing};

pub(crate) type Answer<T> = oneshot::Sender<T>;

pub(crate) enum Command {
    Publish(Outgoing, Answer<()>),
    /// Answers whether the message was still in the holder's hand.
    Settle {
        seq: i64,
        holder: String,
        how: How,
        answer: Option<Answer<bool>>,
    },
    Depth(Answer<Depth>),
    DeadLetters(Answer<Vec<DeadLetter>>),
    Replay(Replay, Answer<usize>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Done,
    Dead(String),
    /// To the end of the queue, as new.
    Released,
    /// To where it was, one delivery poorer.
    CameBack,
}

/// Gives one answer.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

impl Command {
    /// Does it, and says how to answer after the commit. Nobody waiting for the answer any more is no failure.
    pub(super) async fn apply(
        self,
        connection: &mut SqliteConnection,
        now: i64,
    ) -> Result<Reply, sqlx::Error> {
        Ok(match self {
            Self::Publish(outgoing, answer) => {
                reply(answer, statements::publish(connection, &outgoing).await?)
            }
            Self::Settle {
                seq,
                holder,
                how,
                answer,
            } => {
                let settled = statements::settle(connection, (seq, &holder), &how, now).await?;
                match answer {
                    Some(answer) => reply(answer, settled),
                    None => Box::new(|| ()),
                }
            }
            // Who asks sees what it is like without those that died, also when no other consumer has noticed yet.
            Self::Depth(answer) => {
                statements::reclaim(connection, now).await?;
                reply(answer, statements::depth(connection).await?)
            }
            Self::DeadLetters(answer) => {
                statements::reclaim(connection, now).await?;
                reply(answer, statements::dead_letters(connection).await?)
            }
            Self::Replay(which, answer) => {
                reply(answer, statements::replay(connection, &which).await?)
            }
        })
    }
}

fn reply<T: Send + 'static>(answer: Answer<T>, value: T) -> Reply {
    Box::new(move || {
        let _ = answer.send(value);
    })
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish(..) => "Publish",
            Self::Settle { .. } => "Settle",
            Self::Depth(_) => "Depth",
            Self::DeadLetters(_) => "DeadLetters",
            Self::Replay(..) => "Replay",
        })
    }
}
