//! What a process did between two scrapes.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};

use crate::{Metrics, quantile::Buckets, text::Labels};

/// gRPC codes that are errors; why these is said at the top of the crate.
const FAULTS: [&str; 7] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// Outcomes of messages that are errors: they are set aside, or come again.
const FAILED_MESSAGES: [&str; 2] = ["dead_lettered", "lost"];

/// Questions about the process, not to it.
const ABOUT: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// Of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests per second.
    pub rate: f64,
    /// Errors per second, of requests and of messages.
    pub errors: f64,
    /// Below which 95 of 100 requests were answered; messages where the process serves no requests. None when there
    /// were none.
    #[serde(rename = "p95_seconds", serialize_with = "seconds")]
    pub p95: Option<Duration>,
    /// Requests being worked on.
    pub in_flight: u64,
    /// Resident memory in bytes; 0 where the system does not say.
    #[serde(rename = "rss_bytes")]
    pub rss: u64,
    /// To each peer, by its name.
    pub calls: Vec<Call>,
    /// Messages that the queue took from it, per second.
    pub published: f64,
    /// Messages that came to an end, per second.
    pub consumed: f64,
}

/// The calls to one peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Its name.
    pub peer: String,
    /// Calls per second, with those that were not started.
    pub rate: f64,
    /// Errors per second, as the caller saw them.
    pub errors: f64,
    /// Below which 95 of 100 calls were answered; none when none were.
    #[serde(rename = "p95_seconds", serialize_with = "seconds")]
    pub p95: Option<Duration>,
}

impl Figures {
    /// Of what the process counted at the end of `elapsed` and had counted at its begin. A process that was started in
    /// between has counted from 0, and so has each counter that went back.
    #[must_use]
    pub fn between(before: &Metrics, after: &Metrics, elapsed: Duration) -> Self {
        let fresh = Metrics::default();
        let started = |metrics: &Metrics| metrics.sum("process_start_time_seconds", &[]).to_bits();
        let is_the_same = started(before) == started(after);
        let growth = Growth {
            before: if is_the_same { before } else { &fresh },
            after,
            seconds: elapsed.as_secs_f64(),
        };
        let requests = growth.of("http_requests_total", is_for_it);
        let published = growth.of("queue_messages_published_total", |_| true);
        let messages = growth.of("queue_messages_consumed_total", |_| true);
        let mut figures = Self {
            p95: growth.p95("http_request_duration_seconds_bucket", is_for_it),
            in_flight: whole(after.sum("http_requests_in_flight", &[])),
            rss: whole(after.sum("process_resident_memory_bytes", &[])),
            calls: calls(&growth),
            published: published.map(|(_, rate)| rate).sum(),
            ..Self::default()
        };
        for (labels, rate) in requests {
            figures.rate += rate;
            if is_error(labels) {
                figures.errors += rate;
            }
        }
        for (labels, rate) in messages {
            figures.consumed += rate;
            if labels
                .get("outcome")
                .is_some_and(|outcome| FAILED_MESSAGES.contains(&outcome.as_str()))
            {
                figures.errors += rate;
            }
        }
        if !after.families().contains("http_requests_total") {
            figures.p95 = growth.p95("queue_message_duration_seconds_bucket", |_| true);
        }
        figures
    }
}

fn calls(growth: &Growth<'_>) -> Vec<Call> {
    let mut calls: BTreeMap<&str, Call> = BTreeMap::new();
    let ended = growth.of("client_requests_total", |_| true);
    let ended = ended.map(|(labels, rate)| (labels, rate, is_fault(labels.get("code"))));
    let not_started = growth.of("client_calls_not_started_total", |_| true);
    let not_started = not_started.map(|(labels, rate)| (labels, rate, true));
    for (labels, rate, failed) in ended.chain(not_started) {
        let Some(peer) = labels.get("peer") else {
            continue;
        };
        let call = calls.entry(peer.as_str()).or_insert_with(|| Call {
            peer: peer.clone(),
            rate: 0.0,
            errors: 0.0,
            p95: growth.p95("client_request_duration_seconds_bucket", |labels| {
                labels.get("peer") == Some(peer)
            }),
        });
        call.rate += rate;
        call.errors += if failed { rate } else { 0.0 };
    }
    calls.into_values().collect()
}

/// How counters grew.
struct Growth<'m> {
    before: &'m Metrics,
    after: &'m Metrics,
    seconds: f64,
}

impl<'m> Growth<'m> {
    /// Of each series of that name with such labels, per second.
    fn of(
        &self,
        name: &'m str,
        such: impl Fn(&Labels) -> bool,
    ) -> impl Iterator<Item = (&'m Labels, f64)> {
        let series = self.after.of(name).filter(move |(labels, _)| such(labels));
        series.map(move |(labels, after)| {
            let before = self.before.at(name, labels).unwrap_or_default();
            let gained = if after < before {
                after
            } else {
                after - before
            };
            let rate = gained / self.seconds;
            (labels, if rate.is_finite() { rate } else { 0.0 })
        })
    }

    /// Of the histogram of all series of that name with such labels.
    fn p95(&self, buckets: &'m str, such: impl Fn(&Labels) -> bool) -> Option<Duration> {
        let mut all = Buckets::default();
        for (labels, rate) in self.of(buckets, such) {
            all.add(labels.get("le")?, rate);
        }
        all.quantile(0.95)
    }
}

fn is_for_it(labels: &Labels) -> bool {
    let route = labels.get("route").map(String::as_str).unwrap_or_default();
    !ABOUT.iter().any(|about| route.starts_with(about))
}

fn is_error(labels: &Labels) -> bool {
    let status = labels.get("status").and_then(|status| status.parse().ok());
    status.is_some_and(|status: u16| status >= 500) || is_fault(labels.get("grpc_status"))
}

fn is_fault(code: Option<&String>) -> bool {
    code.is_some_and(|code| FAULTS.contains(&code.as_str()))
}

/// A gauge of things that are counted.
fn whole(value: f64) -> u64 {
    value as u64
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

#[cfg(test)]
mod tests;
