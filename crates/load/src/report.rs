//! What came out of it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::{
    measures::{Exact, Measures, ON_TIME, OfSlot, quantile},
    outcome::Outcome,
    plan::Plan,
    time::readable,
};

/// How far the rate may be from the one that was asked for, and what share of the requests may leave late.
const TOLERANCE: f64 = 0.01;

/// Bars of the distribution from a time to ten times it.
const BARS_A_DECADE: f64 = 12.0;

/// The result of a load. Every time counts from when the request was due, whatever its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether the load was what was asked for.
    pub rate: Rate,
    /// For how long requests were due, in seconds: less than asked for when it was stopped.
    #[serde(rename = "length_s", serialize_with = "seconds")]
    pub length: Duration,
    /// Requests that had no outcome yet when it was stopped.
    pub unanswered: u64,
    /// All requests.
    pub all: KindReport,
    /// The same of each kind of the mix.
    pub kinds: Vec<KindReport>,
    /// What became of them.
    pub outcomes: Vec<OutcomeReport>,
    /// How it went, by when the requests were due.
    pub over_time: Vec<Slot>,
    /// How many took how long.
    pub distribution: Vec<Bar>,
}

/// Whether the load was what was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    /// Requests a second.
    pub asked: f64,
    /// How many a second there were.
    pub held: f64,
    /// Requests that were due.
    pub due: u64,
    /// Requests that left.
    pub sent: u64,
    /// Requests that were due more than 50 ms before they left, or had not left when it was stopped.
    pub late: u64,
    /// Requests that were due while too many were in flight.
    pub not_sent: u64,
    /// How many are too many.
    pub most_in_flight: usize,
    /// From when a request was due to when it left.
    pub lateness: Percentiles,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half took no longer.
    #[serde(rename = "p50_ms", serialize_with = "millis")]
    pub p50: Duration,
    /// Nine of ten took no longer.
    #[serde(rename = "p90_ms", serialize_with = "millis")]
    pub p90: Duration,
    /// 99 of 100 took no longer.
    #[serde(rename = "p99_ms", serialize_with = "millis")]
    pub p99: Duration,
    /// 999 of 1,000 took no longer.
    #[serde(rename = "p99_9_ms", serialize_with = "millis")]
    pub p99_9: Duration,
    /// None took longer.
    #[serde(rename = "max_ms", serialize_with = "millis")]
    pub max: Duration,
}

/// Requests of one kind, or all.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    /// As the mix has it, or `all`.
    pub name: String,
    /// Requests that had an outcome.
    pub requests: u64,
    /// Of these, answered otherwise than with a 2xx, or not at all.
    pub errors: u64,
    /// How long they took.
    pub latency: Percentiles,
}

/// Requests with one outcome.
#[derive(Clone, Debug, Serialize)]
pub struct OutcomeReport {
    /// Which.
    #[serde(serialize_with = "shown")]
    pub outcome: Outcome,
    /// How many.
    pub requests: u64,
    /// How many of each kind, without the kinds of which there is none.
    pub kinds: Vec<(String, u64)>,
    /// How long they took.
    pub latency: Percentiles,
}

/// Requests that were due in one piece of the time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slot {
    /// Its beginning, in seconds.
    #[serde(rename = "from_s", serialize_with = "seconds")]
    pub from: Duration,
    /// Its end, in seconds.
    #[serde(rename = "to_s", serialize_with = "seconds")]
    pub to: Duration,
    /// How many.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
    /// How long they took.
    pub latency: Percentiles,
}

/// Requests that took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Longer than this, in milliseconds.
    #[serde(rename = "from_ms", serialize_with = "millis")]
    pub from: Duration,
    /// And not longer than this.
    #[serde(rename = "to_ms", serialize_with = "millis")]
    pub to: Duration,
    /// How many.
    pub requests: u64,
}

impl Report {
    pub(crate) fn new(plan: &Plan, measures: &Measures, length: Duration) -> Self {
        let names = plan.mix.kinds();
        let kinds = names.iter().zip(&measures.kinds);
        Self {
            rate: Rate::new(plan, measures, length),
            length,
            unanswered: measures.in_flight(),
            all: KindReport::new("all", measures.errors, &measures.latency),
            kinds: kinds
                .map(|(name, kind)| KindReport::new(name, kind.errors, &kind.latency))
                .collect(),
            outcomes: outcomes(names, measures),
            over_time: over_time(measures),
            distribution: distribution(&measures.latency),
        }
    }

    /// The share of the requests that were answered otherwise than with a 2xx, or not at all, from 0 to 1.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        let requests = self.all.requests.max(1);
        self.all.errors as f64 / requests as f64
    }
}

impl Rate {
    fn new(plan: &Plan, measures: &Measures, length: Duration) -> Self {
        let Measures {
            sent,
            late,
            not_sent,
            last_left,
            ref lateness,
            ..
        } = *measures;
        // The last may be due just now.
        let due = plan.due_before(length).max(sent + not_sent);
        let of_those_due = sent as f64 / due.max(1) as f64;
        // What was due at the end may have left long after it.
        let in_time = length.as_secs_f64() / length.max(last_left).as_secs_f64().max(f64::EPSILON);
        Self {
            asked: plan.rate,
            held: plan.rate * of_those_due * in_time,
            due,
            sent,
            late: due - not_sent - (sent - late),
            not_sent,
            most_in_flight: plan.most_in_flight,
            lateness: Percentiles::of(lateness),
        }
    }

    /// Why the rate was not the one that was asked for, within 1 % and for 99 of 100 requests; none if it was.
    #[must_use]
    pub fn shortfall(&self) -> Option<String> {
        let percent = |part: f64| format!("{:.1} %", part * 100.0);
        let of_due = |count: u64| count as f64 / self.due.max(1) as f64;
        let share = self.held / self.asked;
        let mut reasons = Vec::new();
        if self.due > 0 && share < 1.0 - TOLERANCE {
            let (held, asked, share) = (self.held, self.asked, percent(share));
            reasons.push(format!("{held:.1}/s instead of {asked}/s ({share})"));
        }
        if of_due(self.late) > TOLERANCE {
            let (late, share) = (self.late, percent(of_due(self.late)));
            reasons.push(format!(
                "{late} requests ({share}) left more than {} late, the latest {}",
                readable(ON_TIME),
                readable(self.lateness.max)
            ));
        }
        if self.not_sent > 0 {
            reasons.push(format!(
                "{} were not sent, because {} were in flight when they were due",
                self.not_sent, self.most_in_flight
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u32>) -> Self {
        Self {
            p50: quantile(histogram, 0.5),
            p90: quantile(histogram, 0.9),
            p99: quantile(histogram, 0.99),
            p99_9: quantile(histogram, 0.999),
            max: Duration::from_micros(histogram.max()),
        }
    }
}

impl KindReport {
    fn new(name: &str, errors: u64, latency: &Exact) -> Self {
        Self {
            name: name.to_owned(),
            requests: latency.len(),
            errors,
            latency: Percentiles::of(latency),
        }
    }
}

fn outcomes(names: &[String], measures: &Measures) -> Vec<OutcomeReport> {
    let report = |(outcome, of): (&Outcome, &crate::measures::OfOutcome)| {
        let kinds = names.iter().cloned().zip(of.of_kind.iter().copied());
        OutcomeReport {
            outcome: *outcome,
            requests: of.latency.len(),
            kinds: kinds.filter(|(_, count)| *count > 0).collect(),
            latency: Percentiles::of(&of.latency),
        }
    };
    measures.outcomes.iter().map(report).collect()
}

/// Without the pieces in which nothing was due.
fn over_time(measures: &Measures) -> Vec<Slot> {
    let slot = |(number, of): (u32, &OfSlot)| Slot {
        from: measures.slot_length * number,
        to: measures.slot_length * (number + 1),
        requests: of.latency.len(),
        errors: of.errors,
        latency: Percentiles::of(&of.latency),
    };
    let slots = (0..).zip(&measures.slots).map(slot);
    slots.filter(|slot| slot.requests > 0).collect()
}

/// From the shortest time to the longest, without gaps; every bar as many times longer than the one before.
fn distribution(latency: &Exact) -> Vec<Bar> {
    let place = |micros: u64| ((micros.max(1) as f64).log10() * BARS_A_DECADE).floor() as u32;
    let edge = |place: u32| {
        let micros = 10_f64.powf(f64::from(place) / BARS_A_DECADE);
        Duration::from_secs_f64(micros / 1e6)
    };
    if latency.is_empty() {
        return Vec::new();
    }
    let (first, last) = (place(latency.min()), place(latency.max()));
    let bar = |place| Bar {
        from: edge(place),
        to: edge(place + 1),
        requests: 0,
    };
    let mut bars: Vec<Bar> = (first..=last).map(bar).collect();
    for value in latency.iter_recorded() {
        let at = place(value.value_iterated_to()).clamp(first, last) - first;
        bars[at as usize].requests += value.count_since_last_iteration();
    }
    bars
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64() * 1e3)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn shown<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(outcome)
}
