//! What the page shows and does: the mesh, as whoever runs it tells of it.

use std::{collections::HashMap, fmt, future::Future, net::SocketAddr, time::Duration};

use mesh_figures::Figures;
use mesh_traces::TraceId;

/// A running mesh. What is asked for without waiting is known already; none of it is asked for while nobody looks.
pub trait Mesh: Send + Sync + 'static {
    /// Every replica, in the order in which people read them.
    fn replicas(&self) -> Vec<Replica>;

    /// How full the queue is; none while it cannot be asked.
    fn queue(&self) -> Option<Queue>;

    /// What each replica counted, by its name; at most a second old.
    fn figures(&self) -> HashMap<String, Figures>;

    /// What was logged of the request, oldest first.
    fn logs(&self, trace: TraceId) -> Vec<LogLine>;

    /// Kills a replica. Answers with what was done, or why it was not.
    fn kill(&self, replica: &str) -> impl Future<Output = Result<String, String>> + Send;

    /// Stops a replica for 10 s, without its knowledge.
    fn pause(&self, replica: &str) -> impl Future<Output = Result<String, String>> + Send;

    /// Stops a replica in order and starts it again.
    fn restart(&self, replica: &str) -> impl Future<Output = Result<String, String>> + Send;

    /// Wants so many replicas of a process from now on.
    fn scale(
        &self,
        process: &str,
        replicas: u32,
    ) -> impl Future<Output = Result<String, String>> + Send;

    /// Places an order as a customer would, paid with the token; says why it could not ask.
    fn place(&self, token: &str) -> impl Future<Output = Result<Placed, String>> + Send;

    /// Where customers ask.
    fn gateway(&self) -> Option<SocketAddr>;
}

/// One of the processes that do the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// `orders`, `orders-2`.
    pub name: String,
    /// `orders`.
    pub process: String,
    /// None while it does not run.
    pub pid: Option<u32>,
    /// How it is.
    pub state: State,
    /// Where it serves, if it does.
    pub address: Option<SocketAddr>,
    /// Where its health and its metrics are.
    pub admin: Option<SocketAddr>,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not answer yet.
    Starting,
    /// It answers, and waits for these.
    Waiting(Vec<String>),
    /// It does its work.
    Ready,
    /// It was stopped for a while and does not know.
    Paused,
    /// It died and is started again soon.
    Down,
    /// It was asked to stop.
    Stopping,
}

impl State {
    /// The state in one word, for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting(_) => "waiting",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(reasons) if !reasons.is_empty() => {
                write!(f, "waits for {}", reasons.join(" and "))
            }
            other => f.write_str(other.word()),
        }
    }
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Messages that wait for a worker.
    pub ready: u64,
    /// Messages that no worker could do.
    pub dead: u64,
}

/// A line that a process wrote about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The name of the replica.
    pub process: String,
    /// As the process wrote it: RFC 3339.
    pub time: String,
    /// `INFO`, `ERROR`.
    pub level: String,
    /// The rest of it.
    pub text: String,
}

/// What a customer was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The HTTP status.
    pub status: u16,
    /// The answer itself.
    pub body: String,
    /// Named by the answer.
    pub trace: Option<TraceId>,
    /// From the question to the end of the answer.
    pub took: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_is_waited_for() {
        let waiting = State::Waiting(vec!["store".to_owned(), "queue".to_owned()]);
        assert_eq!(waiting.to_string(), "waits for store and queue");
        assert_eq!(State::Waiting(Vec::new()).to_string(), "waiting");
        assert_eq!(State::Paused.to_string(), "paused");
    }
}
