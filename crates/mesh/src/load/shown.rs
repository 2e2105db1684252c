//! What one reads of a load: before, meanwhile, afterwards.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use mesh_load::{KindReport, Outcome, OutcomeReport, Plan, Report, Snapshot, readable};

use crate::{
    table::table,
    terminal::{Ink, Palette},
};

/// Nothing is left to sell.
const CONFLICT: Outcome = Outcome::Status(409);

/// What is about to happen.
pub(crate) fn intention(plan: &Plan, gateway: SocketAddr) -> String {
    format!(
        "{} requests to http://{gateway}: {}/s for {}, {}; Ctrl-C ends it early",
        plan.requests(),
        plan.rate,
        readable(plan.length),
        plan.mix
    )
}

/// One line.
pub(crate) fn progress(now: &Snapshot, length: Duration) -> String {
    let Snapshot {
        elapsed,
        sent,
        in_flight,
        errors,
        p50,
        p99,
        ..
    } = now;
    let time = if *elapsed < length {
        format!("{} of {} s", elapsed.as_secs(), length.as_secs_f64())
    } else {
        "waiting for answers".to_owned()
    };
    let mut text = format!(
        "{time}: {sent} sent, {in_flight} in flight, {errors} failed, p50 {}, p99 {}",
        readable(*p50),
        readable(*p99)
    );
    if now.late * 100 > now.sent {
        let _infallible = write!(text, ", {} late", now.late);
    }
    text
}

/// The tables, and what should be known about them.
pub(crate) fn result(report: &Report, palette: Palette) -> String {
    let mut text = String::from("\n");
    text.push_str(&table(&times(report), palette));
    let _infallible = writeln!(text, "\n{}", rate(report, palette));
    let wrong = report.outcomes.iter().filter(|of| !of.outcome.is_good());
    let wrong: Vec<&OutcomeReport> = wrong.collect();
    if wrong.is_empty() {
        text.push_str("No errors.");
    } else {
        text.push('\n');
        text.push_str(&table(&errors(&wrong, report.all.requests), palette));
    }
    if wrong.iter().any(|of| of.outcome == CONFLICT) {
        text.push_str(
            "\n409: a product is sold out. More pieces: cargo mesh reset, then cargo mesh up --set MESH_SEED_STOCK=1000000\n",
        );
    }
    if report.unanswered > 0 {
        let _infallible = write!(
            text,
            "\n{} requests had no answer yet when it was stopped: they are in no figure but those of the rate.",
            report.unanswered
        );
    }
    text.trim_end().to_owned()
}

/// A line for each kind, and one for all of them where there are several.
fn times(report: &Report) -> Vec<[String; 8]> {
    let header = [
        "kind", "requests", "errors", "p50", "p90", "p99", "p99.9", "max",
    ];
    let row = |kind: &KindReport| {
        let latency = kind.latency;
        [
            kind.name.clone(),
            kind.requests.to_string(),
            kind.errors.to_string(),
            readable(latency.p50),
            readable(latency.p90),
            readable(latency.p99),
            readable(latency.p99_9),
            readable(latency.max),
        ]
    };
    let all = (report.kinds.len() > 1).then_some(&report.all);
    let rows = report.kinds.iter().chain(all).map(row);
    std::iter::once(header.map(ToOwned::to_owned))
        .chain(rows)
        .collect()
}

fn rate(report: &Report, palette: Palette) -> String {
    let rate = &report.rate;
    let told = format!(
        "Rate: {}/s asked, {:.1}/s held; requests left {} after they were due at p50, {} at p99, {} at most.",
        rate.asked,
        rate.held,
        readable(rate.lateness.p50),
        readable(rate.lateness.p99),
        readable(rate.lateness.max)
    );
    match rate.shortfall() {
        None => told,
        Some(shortfall) => {
            let shortfall = format!("The rate could not be held: {shortfall}.");
            format!("{told}\n{}", palette.paint(Ink::Bad, &shortfall))
        }
    }
}

fn errors(wrong: &[&OutcomeReport], requests: u64) -> Vec<[String; 6]> {
    let header = ["error", "requests", "share", "of", "p50", "max"].map(ToOwned::to_owned);
    let row = |of: &&OutcomeReport| {
        let kinds: Vec<String> = of
            .kinds
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        [
            of.outcome.to_string(),
            of.requests.to_string(),
            format!("{:.2} %", of.requests as f64 / requests as f64 * 100.0),
            kinds.join(", "),
            readable(of.latency.p50),
            readable(of.latency.max),
        ]
    };
    let rows = wrong.iter().map(row);
    std::iter::once(header).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use mesh_load::{Failure, Percentiles, Rate};

    use super::*;

    fn percentiles(millis: u64) -> Percentiles {
        let times = [1, 2, 3, 4, 5].map(|times| Duration::from_millis(times * millis));
        let [p50, p90, p99, p99_9, max] = times;
        Percentiles {
            p50,
            p90,
            p99,
            p99_9,
            max,
        }
    }

    fn kind(name: &str, requests: u64, errors: u64) -> KindReport {
        KindReport {
            name: name.to_owned(),
            requests,
            errors,
            latency: percentiles(10),
        }
    }

    fn outcome(outcome: Outcome, requests: u64) -> OutcomeReport {
        OutcomeReport {
            outcome,
            requests,
            kinds: vec![("place".to_owned(), requests)],
            latency: percentiles(2),
        }
    }

    fn report(outcomes: Vec<OutcomeReport>) -> Report {
        Report {
            rate: Rate {
                asked: 10.0,
                held: 10.0,
                due: 100,
                sent: 100,
                late: 0,
                not_sent: 0,
                most_in_flight: 1000,
                lateness: percentiles(1),
            },
            length: Duration::from_secs(10),
            unanswered: 0,
            all: kind("all", 100, 5),
            kinds: vec![kind("place", 20, 5), kind("read", 80, 0)],
            outcomes,
            over_time: Vec::new(),
            distribution: Vec::new(),
        }
    }

    const PLAIN: Palette = Palette { on: false };

    #[test]
    fn a_good_load_is_one_table() {
        let told = result(&report(vec![outcome(Outcome::Status(201), 20)]), PLAIN);
        let expected = "
  kind   requests  errors  p50    p90    p99    p99.9  max
  place  20        5       10 ms  20 ms  30 ms  40 ms  50 ms
  read   80        0       10 ms  20 ms  30 ms  40 ms  50 ms
  all    100       5       10 ms  20 ms  30 ms  40 ms  50 ms

Rate: 10/s asked, 10.0/s held; requests left 1 ms after they were due at p50, 3 ms at p99, 5 ms at most.
No errors.";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_went_wrong_is_told_by_status_and_what_to_do_about_it() {
        let outcomes = vec![
            outcome(Outcome::Status(201), 95),
            outcome(CONFLICT, 4),
            outcome(Outcome::Failed(Failure::TimedOut), 1),
        ];
        let mut report = report(outcomes);
        report.rate.not_sent = 2;
        report.unanswered = 3;
        let told = result(&report, PLAIN);
        for line in [
            "  409                4         4.00 %  place 4  2 ms  10 ms\n",
            "  no answer in time  1         1.00 %  place 1  2 ms  10 ms\n",
            "409: a product is sold out. ",
            "The rate could not be held: 2 were not sent, because 1000 were in flight",
            "\n3 requests had no answer yet",
        ] {
            assert!(told.contains(line), "{line:?} in {told}");
        }
        assert!(!told.contains("  201"), "{told}");
    }

    #[test]
    fn the_line_meanwhile_tells_of_lateness_only_when_there_is_much() {
        let mut now = Snapshot {
            elapsed: Duration::from_millis(2_900),
            sent: 1_000,
            in_flight: 3,
            errors: 1,
            p50: Duration::from_micros(1_500),
            p99: Duration::from_millis(20),
            late: 10,
        };
        let length = Duration::from_secs(30);
        let expected = "2 of 30 s: 1000 sent, 3 in flight, 1 failed, p50 1.5 ms, p99 20 ms";
        assert_eq!(progress(&now, length), expected);
        now.late = 11;
        now.elapsed = length;
        assert!(progress(&now, length).starts_with("waiting for answers: "));
        assert!(progress(&now, length).ends_with(", 11 late"));
    }
}
