//! What came out, and what must not.

use std::{fmt::Write as _, time::Duration};

use mesh_load::readable;

use crate::{
    page::Seen,
    spans::{BATCH, SPANS},
    trial::Trial,
};

/// What the store counts may be this much less than what it takes.
const UNCOUNTED: f64 = 1.3;
/// For all of `mesh up` that is not the store: spans on their way in, views on their way out.
const BESIDES: u64 = 24 << 20;

/// What is asserted.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The slowest answer of the page while traces come in.
    pub(crate) answer: Duration,
    /// How much less the services answer while the page is open.
    pub(crate) fall: f64,
    /// Whether there must have been more traces than the store has room for.
    pub(crate) is_full: bool,
    /// Whether the rate must have been held.
    pub(crate) is_held: bool,
}

impl Bounds {
    pub(crate) const RELEASE: Self = Self {
        answer: Duration::from_millis(100),
        fall: 0.05,
        is_full: true,
        is_held: true,
    };
    pub(crate) const ROUGH: Self = Self {
        answer: Duration::from_secs(1),
        fall: 0.5,
        is_full: false,
        is_held: false,
    };
}

/// What is measured beside what is allowed.
pub(crate) fn table(trial: &Trial, bounds: &Bounds) -> String {
    let after = trial.after;
    let mut text = String::from("| | measured | bound |\n|---|---|---|\n");
    let mut row = |what: &str, measured: String, bound: String| {
        let _ = writeln!(text, "| {what} | {measured} | {bound} |");
    };
    row(
        "traces sent",
        format!(
            "{:.0}/s for {}, {SPANS} spans each",
            trial.rate.held * f64::from(BATCH),
            readable(trial.length)
        ),
        format!("{}/s", trial.asked),
    );
    row(
        "kept, dropped",
        format!("{} traces, {} traces", after.traces, after.dropped_traces),
        String::new(),
    );
    row(
        "in the store, as it counts",
        mib(trial.seen.most.bytes.max(after.bytes)),
        mib(after.limit),
    );
    let (before, most) = trial.resident;
    row(
        "memory of `mesh up`",
        format!("{} before, {} at most", mib(before), mib(most)),
        mib(most_resident(trial)),
    );
    for (view, slowest) in &trial.seen.slowest {
        row(
            &format!("slowest answer of the page: {view}"),
            readable(*slowest),
            readable(bounds.answer),
        );
    }
    for (what, measured, bound) in services(trial, bounds) {
        row(what, measured, bound);
    }
    let _ = writeln!(
        text,
        "\nthe page: {} answers and {} events while traces came in, {} and {} while the services had no time left (slowest {})",
        trial.seen.answers,
        trial.seen.events,
        trial.seen_open.answers,
        trial.seen_open.events,
        readable(slowest(&trial.seen_open))
    );
    text
}

/// What the services answer.
fn services(trial: &Trial, bounds: &Bounds) -> [(&'static str, String, String); 2] {
    let (closed, open) = (median(&trial.closed), median(&trial.open));
    let change = -100.0 * fall(trial);
    [
        (
            "answers of the services, page closed",
            format!("{closed:.0}/s ({})", spread(&trial.closed)),
            String::new(),
        ),
        (
            "the same, page open",
            format!("{open:.0}/s ({}), {change:+.1} %", spread(&trial.open)),
            format!("-{:.0} %", 100.0 * bounds.fall),
        ),
    ]
}

/// The bounds that were broken.
pub(crate) fn broken(trial: &Trial, bounds: &Bounds) -> Vec<String> {
    let mut broken = Vec::new();
    let (before, after) = (trial.before, trial.after);
    if let Some(shortfall) = trial.rate.shortfall().filter(|_| bounds.is_held) {
        broken.push(format!("the rate could not be held: {shortfall}"));
    }
    if trial.failed > 0 {
        broken.push(format!("{} batches were not taken", trial.failed));
    }
    let received = after.received_spans - before.received_spans;
    if received < trial.sent_traces * SPANS {
        broken.push(format!(
            "of {} spans {received} were received",
            trial.sent_traces * SPANS
        ));
    }
    if bounds.is_full && after.dropped_traces == before.dropped_traces {
        broken.push("the store was never full: more traces, or a longer time".to_owned());
    }
    let held = trial.seen.most.bytes.max(after.bytes);
    if held > after.limit {
        broken.push(format!(
            "the store holds {}, its bound is {}",
            mib(held),
            mib(after.limit)
        ));
    }
    let (_, most) = trial.resident;
    if most > most_resident(trial) {
        broken.push(format!(
            "mesh up takes {}, the bound is {}",
            mib(most),
            mib(most_resident(trial))
        ));
    }
    for (view, slowest) in &trial.seen.slowest {
        if *slowest > bounds.answer {
            broken.push(format!(
                "{view}: the page took {}, the bound is {}",
                readable(*slowest),
                readable(bounds.answer)
            ));
        }
    }
    if fall(trial) > bounds.fall {
        broken.push(format!(
            "with the page open the services answer {:.1} % less, the bound is {:.0} %",
            100.0 * fall(trial),
            100.0 * bounds.fall
        ));
    }
    broken
}

/// What there was before, and a full store.
fn most_resident(trial: &Trial) -> u64 {
    trial.resident.0 + (trial.after.limit as f64 * UNCOUNTED) as u64 + BESIDES
}

fn fall(trial: &Trial) -> f64 {
    1.0 - median(&trial.open) / median(&trial.closed)
}

fn slowest(seen: &Seen) -> Duration {
    let slowest = seen.slowest.iter().map(|(_, slowest)| *slowest);
    slowest.max().unwrap_or_default()
}

/// Of at least one figure.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::MAX, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{least:.0} to {most:.0}")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Seen {
    /// Takes in what was seen another time.
    pub(crate) fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.events += other.events;
        for (view, slowest) in other.slowest {
            match self.slowest.iter_mut().find(|(known, _)| *known == view) {
                Some((_, known)) => *known = slowest.max(*known),
                None => self.slowest.push((view, slowest)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Stats;

    fn trial() -> Trial {
        let stats = |bytes, dropped_traces, received_spans| Stats {
            traces: 10,
            bytes,
            limit: 64 << 20,
            dropped_traces,
            received_spans,
        };
        Trial {
            asked: 1_000,
            length: Duration::from_secs(60),
            rate: mesh_load::Rate {
                asked: 100.0,
                held: 100.0,
                due: 6_000,
                sent: 6_000,
                late: 0,
                not_sent: 0,
                most_in_flight: 1_000,
                lateness: mesh_load::Percentiles::default(),
            },
            failed: 0,
            sent_traces: 60_000,
            before: stats(0, 0, 100),
            after: stats(60 << 20, 5, 600_100),
            seen: Seen {
                slowest: vec![("map", Duration::from_millis(20))],
                answers: 60,
                events: 60,
                most: stats(64 << 20, 5, 600_000),
            },
            resident: (10 << 20, 90 << 20),
            closed: vec![1_000.0, 1_100.0, 900.0],
            open: vec![980.0, 1_000.0, 400.0],
            seen_open: Seen::default(),
        }
    }

    /// What is changed, and what is said of it.
    type Case = (fn(&mut Trial), &'static str);

    #[test]
    fn each_bound_is_held_to() {
        let told = |change: fn(&mut Trial)| {
            let mut trial = trial();
            change(&mut trial);
            broken(&trial, &Bounds::RELEASE)
        };
        assert_eq!(told(|_| {}), [""; 0]);
        let cases: [Case; 9] = [
            (|trial| trial.rate.held = 98.0, "could not be held"),
            (|trial| trial.failed = 1, "1 batches were not taken"),
            (
                |trial| trial.after.received_spans -= 1,
                "599999 were received",
            ),
            (|trial| trial.after.dropped_traces = 0, "never full"),
            (|trial| trial.after.bytes = 65 << 20, "holds 65.0 MiB"),
            (|trial| trial.seen.most.bytes += 1, "the store holds"),
            (|trial| trial.resident.1 = 118 << 20, "mesh up takes"),
            (
                |trial| trial.seen.slowest[0].1 = Duration::from_millis(101),
                "map: the page took 101 ms",
            ),
            (|trial| trial.open[0] = 940.0, "answer 6.0 % less"),
        ];
        for (change, expected) in cases {
            let told = told(change);
            assert!(
                told.len() == 1 && told[0].contains(expected),
                "{expected}: {told:?}"
            );
        }
    }

    #[test]
    fn the_table_tells_it_all() {
        let table = table(&trial(), &Bounds::RELEASE);
        for line in [
            "| traces sent | 1000/s for 60 s, 10 spans each | 1000/s |",
            "| in the store, as it counts | 64.0 MiB | 64.0 MiB |",
            "| slowest answer of the page: map | 20 ms | 100 ms |",
            "| the same, page open | 980/s (400 to 1000), -2.0 % | -5 % |",
        ] {
            assert!(table.contains(line), "{line} in {table}");
        }
    }
}
