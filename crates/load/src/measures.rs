//! What is measured while it happens, in memory of a fixed size.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::{outcome::Outcome, plan::Plan};

/// Times are counted in microseconds up to this; what took longer counts as this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A request that leaves later than this after it was due did not leave at the rate that was asked for.
pub(crate) const ON_TIME: Duration = Duration::from_millis(50);

/// Pieces of the time that are looked at by themselves: enough for a picture.
const MOST_SLOTS: u64 = 120;

/// Fewer requests than this have no percentiles worth a piece of their own.
const LEAST_IN_SLOT: u64 = 20;

/// Of times in microseconds, exact to one part in a thousand.
pub(crate) type Exact = Histogram<u32>;

fn exact() -> Exact {
    histogram(3)
}

/// As [`exact`], to one part in a hundred, for those of which there are many.
fn rough() -> Histogram<u32> {
    histogram(2)
}

fn histogram(digits: u8) -> Histogram<u32> {
    Histogram::new_with_bounds(1, micros(LONGEST), digits).expect("the bounds are in order")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// All that is known of the requests so far.
#[derive(Debug)]
pub(crate) struct Measures {
    start: Option<Instant>,
    pub(crate) sent: u64,
    pub(crate) late: u64,
    pub(crate) not_sent: u64,
    /// When the last one left, since the start.
    pub(crate) last_left: Duration,
    /// From when a request was due to when it left.
    pub(crate) lateness: Exact,
    /// From when a request was due to its outcome, of all kinds together.
    pub(crate) latency: Exact,
    pub(crate) errors: u64,
    pub(crate) kinds: Vec<OfKind>,
    pub(crate) outcomes: BTreeMap<Outcome, OfOutcome>,
    pub(crate) slots: Vec<OfSlot>,
    pub(crate) slot_length: Duration,
}

/// Requests of one kind.
#[derive(Debug)]
pub(crate) struct OfKind {
    pub(crate) errors: u64,
    pub(crate) latency: Exact,
}

/// Requests with one outcome.
#[derive(Debug)]
pub(crate) struct OfOutcome {
    pub(crate) of_kind: Vec<u64>,
    pub(crate) latency: Histogram<u32>,
}

/// Requests that were due in one piece of the time.
#[derive(Debug)]
pub(crate) struct OfSlot {
    pub(crate) errors: u64,
    pub(crate) latency: Histogram<u32>,
}

impl Measures {
    pub(crate) fn new(plan: &Plan) -> Self {
        let slots = (plan.requests() / LEAST_IN_SLOT).clamp(1, MOST_SLOTS);
        let of_kind = || OfKind {
            errors: 0,
            latency: exact(),
        };
        let of_slot = || OfSlot {
            errors: 0,
            latency: rough(),
        };
        Self {
            start: None,
            sent: 0,
            late: 0,
            not_sent: 0,
            last_left: Duration::ZERO,
            lateness: exact(),
            latency: exact(),
            errors: 0,
            kinds: plan.mix.kinds().iter().map(|_| of_kind()).collect(),
            outcomes: BTreeMap::new(),
            slots: (0..slots).map(|_| of_slot()).collect(),
            slot_length: plan.length.div_f64(slots as f64),
        }
    }

    pub(crate) fn start(&mut self, start: Instant) {
        self.start = Some(start);
    }

    /// A request that was due then left so much later.
    pub(crate) fn sent(&mut self, due: Duration, lateness: Duration) {
        self.sent += 1;
        self.last_left = self.last_left.max(due + lateness);
        self.late += u64::from(lateness > ON_TIME);
        self.lateness.saturating_record(micros(lateness));
    }

    pub(crate) fn not_sent(&mut self) {
        self.not_sent += 1;
    }

    /// A request of that kind, due then, had its outcome so long after it was due.
    pub(crate) fn ended(&mut self, kind: usize, due: Duration, took: Duration, outcome: Outcome) {
        let took = micros(took);
        let error = u64::from(!outcome.is_good());
        self.errors += error;
        self.latency.saturating_record(took);
        let of_kind = &mut self.kinds[kind];
        of_kind.errors += error;
        of_kind.latency.saturating_record(took);
        let kinds = self.kinds.len();
        let of_outcome = self.outcomes.entry(outcome).or_insert_with(|| OfOutcome {
            of_kind: vec![0; kinds],
            latency: rough(),
        });
        of_outcome.of_kind[kind] += 1;
        of_outcome.latency.saturating_record(took);
        let slot = due.div_duration_f64(self.slot_length) as usize;
        let last = self.slots.len() - 1;
        let of_slot = &mut self.slots[slot.min(last)];
        of_slot.errors += error;
        of_slot.latency.saturating_record(took);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.latency.len())
    }
}

/// The value below which so much of them lies; zero when there is none.
pub(crate) fn quantile(histogram: &Histogram<u32>, quantile: f64) -> Duration {
    Duration::from_micros(histogram.value_at_quantile(quantile))
}

/// Measures that several look at.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Measures>>);

impl Shared {
    pub(crate) fn new(measures: Measures) -> Self {
        Self(Arc::new(Mutex::new(measures)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Measures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at a load that goes on; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(crate) measures: Shared,
    pub(crate) plan: Plan,
}

/// How it goes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Since the start.
    pub elapsed: Duration,
    /// Sent so far.
    pub sent: u64,
    /// Sent, and no outcome yet.
    pub in_flight: u64,
    /// Answered otherwise than with a 2xx, or not at all.
    pub errors: u64,
    /// Half of those that ended took no longer.
    pub p50: Duration,
    /// 99 of 100 that ended took no longer.
    pub p99: Duration,
    /// Requests that were due so far and have not left on time.
    pub late: u64,
}

impl Watch {
    /// How it goes now.
    #[must_use]
    pub fn now(&self) -> Snapshot {
        let measures = self.measures.lock();
        let elapsed = measures
            .start
            .map_or(Duration::ZERO, |start| start.elapsed());
        Snapshot {
            elapsed,
            sent: measures.sent,
            in_flight: measures.in_flight(),
            errors: measures.errors,
            p50: quantile(&measures.latency, 0.5),
            p99: quantile(&measures.latency, 0.99),
            late: self.plan.overdue(elapsed, measures.sent - measures.late),
        }
    }
}
