//! What can be seen of a trace. In JSON as it stands here, times in nanoseconds.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{TraceId, nanos};

/// One line about a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: TraceId,
    /// When its first span began.
    #[serde(with = "nanos::unix")]
    pub start: SystemTime,
    /// From its first span's start to its last one's end.
    #[serde(with = "nanos")]
    pub duration: Duration,
    /// From its root's start to its end, such as until the customer has the answer; while that has not arrived, of its
    /// earliest span.
    #[serde(with = "nanos")]
    pub took: Duration,
    /// The name of its root; while that has not arrived, of its earliest span.
    pub route: String,
    /// How that span ended: as [`SpanRow::status`].
    pub status: String,
    /// Whether any of its spans failed.
    pub is_error: bool,
    /// How many there are.
    pub spans: usize,
    /// Where they come from, in the order in which the processes began.
    pub processes: Vec<String>,
}

/// A trace as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The line about it.
    pub summary: Summary,
    /// Parents before their children, siblings by their start; at most 2,000.
    pub spans: Vec<SpanRow>,
    /// Spans that are kept but not among these.
    pub left_out: usize,
}

/// A span as it is drawn. It lies within its trace: `offset + duration` is at most the trace's duration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRow {
    /// Its id, in hex digits.
    pub id: String,
    /// Its parent's, if it says that it has one.
    pub parent: Option<String>,
    /// How many parents above it are known.
    pub depth: usize,
    /// The replica it is from: `service.instance.id`, else the service.
    pub process: String,
    /// `service.name`.
    pub service: String,
    /// A route, an RPC, or what somebody else calls it.
    pub name: String,
    /// Its part in an exchange.
    pub kind: Kind,
    /// From the start of the trace to its own.
    #[serde(with = "nanos")]
    pub offset: Duration,
    /// From its start to its end; none if it ends before it starts.
    #[serde(with = "nanos")]
    pub duration: Duration,
    /// How much time was left for it when it began (`mesh.deadline.remaining_ms`).
    #[serde(with = "nanos::option")]
    pub remaining: Option<Duration>,
    /// The longest that its caller would have waited (`mesh.deadline.cap_ms`).
    #[serde(with = "nanos::option")]
    pub cap: Option<Duration>,
    /// Why it failed.
    pub error: Option<String>,
    /// How it ended: `201`, `DEADLINE_EXCEEDED`, or empty.
    pub status: String,
    /// What it says about itself; a last one named `…` tells what was left out.
    pub attributes: Vec<(String, String)>,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// Traces that it points at.
    pub links: Vec<TraceId>,
    /// The root's end had to wait for it.
    pub is_critical: bool,
    /// Its parent is not known (yet), or it was cut out of a circle of parents.
    pub is_detached: bool,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub name: String,
    /// When, from the start of the trace.
    #[serde(with = "nanos")]
    pub offset: Duration,
    /// More about it.
    pub attributes: Vec<(String, String)>,
}

/// A span's part in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// None, or it does not say.
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        })
    }
}

/// What the store holds now, and what became of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Traces kept now.
    pub traces: u64,
    /// Spans of these.
    pub spans: u64,
    /// The memory that all of it takes.
    pub bytes: u64,
    /// The most that it may take.
    pub limit: u64,
    /// Traces that made room for newer ones, since the start.
    pub dropped_traces: u64,
    /// Spans that were received and are not kept: those of dropped traces, late ones of them, and those beyond what one
    /// trace may have.
    pub dropped_spans: u64,
    /// Spans received since the start.
    pub received_spans: u64,
}
