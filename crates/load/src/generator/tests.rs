//! The schedule on a clock that stands still while anything is to be done, and what is measured of it.

use std::{
    future::{pending, ready},
    sync::Mutex,
};

use tokio::time::{sleep, sleep_until};

use super::*;
use crate::{mix::Mix, outcome::Failure, report::Rate};

const GOOD: Outcome = Outcome::Status(200);

fn plan(rate: f64, length: Duration) -> Plan {
    Plan {
        rate,
        length,
        mix: Mix::new([("place", 1), ("read", 4)]).unwrap(),
        most_in_flight: 10_000,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Keeps when each request was sent and of which kind; every request ends by what the function says.
struct Script<F> {
    start: Instant,
    sent: Mutex<Vec<(Duration, usize)>>,
    end: F,
}

impl<F, E> Script<F>
where
    F: Fn(u64) -> E,
    E: Future<Output = Outcome> + Send,
{
    fn new(end: F) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            sent: Mutex::default(),
            end,
        })
    }

    fn times(&self) -> Vec<Duration> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(time, _)| *time).collect()
    }
}

impl<F, E> Target for Script<F>
where
    F: Fn(u64) -> E + Send + Sync + 'static,
    E: Future<Output = Outcome> + Send + 'static,
{
    fn send(&self, kind: usize) -> impl Future<Output = Outcome> + Send {
        let mut sent = self.sent.lock().unwrap();
        let number = sent.len() as u64;
        sent.push((self.start.elapsed(), kind));
        (self.end)(number)
    }
}

async fn run<T: Target>(plan: Plan, target: &Arc<T>) -> Report {
    let generator = Generator::new(plan);
    generator
        .run_by(&Alarm::of_runtime(), Arc::clone(target), pending())
        .await
}

#[tokio::test(start_paused = true)]
async fn every_request_leaves_when_it_is_due_and_of_the_kind_it_should_be() {
    let target = Script::new(|_| ready(GOOD));
    let report = run(plan(50.0, ms(2_000)), &target).await;
    let due: Vec<Duration> = (0..100).map(|number| ms(20 * number)).collect();
    assert_eq!(target.times(), due);
    let places = |kind: usize| {
        let sent = target.sent.lock().unwrap();
        sent.iter().filter(|(_, of)| *of == kind).count()
    };
    assert_eq!((places(0), places(1)), (20, 80));
    assert_eq!(
        (report.kinds[0].requests, report.kinds[1].requests),
        (20, 80)
    );
    assert_eq!(report.rate.shortfall(), None);
    assert!((report.rate.held - 50.0).abs() < 0.5, "{:?}", report.rate);
    assert_eq!((report.rate.sent, report.rate.late), (100, 0));
    assert_eq!(report.all.errors, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_come_hold_up_nothing() {
    let end = Instant::now() + ms(5_000);
    let target = Script::new(move |_| async move {
        sleep_until(end).await;
        GOOD
    });
    let report = run(plan(50.0, ms(2_000)), &target).await;
    let due: Vec<Duration> = (0..100).map(|number| ms(20 * number)).collect();
    assert_eq!(target.times(), due);
    // Each waited from when it was due to the end.
    let latency = report.all.latency;
    for (found, expected) in [
        (latency.p50, 4_020),
        (latency.p90, 4_800),
        (latency.max, 5_000),
    ] {
        let off = found.as_secs_f64() * 1e3 / expected as f64 - 1.0;
        assert!(off.abs() < 0.01, "{found:?} instead of {expected} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn times_are_those_of_the_plan_whatever_the_server_does_before() {
    // It answers nothing for the first second, then at once.
    let open = Instant::now() + ms(1_000);
    let target = Script::new(move |_| async move {
        sleep_until(open).await;
        GOOD
    });
    let report = run(plan(100.0, ms(2_000)), &target).await;
    // Half of the requests were due while it stood: who waits for answers would have sent one of them.
    let slots = report.over_time.into_iter();
    let (stood, well): (Vec<_>, Vec<_>) = slots.partition(|slot| slot.to <= ms(1_000));
    assert_eq!((stood.len(), well.len()), (5, 5));
    for slot in stood {
        let expected = ms(1_000) - slot.from;
        let off = slot.latency.max.as_secs_f64() / expected.as_secs_f64() - 1.0;
        assert!(off.abs() < 0.02, "{slot:?}");
    }
    assert!(
        well.iter().all(|slot| slot.latency.max <= ms(1)),
        "{well:?}"
    );
    let off = report.all.latency.p90.as_secs_f64() / 0.8 - 1.0;
    assert!(off.abs() < 0.02, "{:?}", report.all.latency);
}

#[tokio::test]
async fn a_generator_that_is_held_up_itself_says_so_and_counts_from_the_plan() {
    const HELD_UP: Duration = Duration::from_millis(400);
    let target = Script::new(|number| {
        let begun = Instant::now();
        // The whole thread, and with it those who measure; every answer comes at once.
        while number == 0 && begun.elapsed() < HELD_UP {
            std::hint::spin_loop();
        }
        ready(GOOD)
    });
    let report = Generator::new(plan(200.0, ms(1_000)))
        .run(Arc::clone(&target), pending())
        .await;
    let Rate { sent, late, .. } = report.rate;
    assert_eq!(sent, 200);
    assert!(late >= 60, "{:?}", report.rate);
    let told = report.rate.shortfall().unwrap();
    assert!(told.contains(&format!("{late} requests")), "{told}");
    assert!(told.contains("left more than 50 ms late"), "{told}");
    assert!(report.rate.lateness.max >= HELD_UP - ms(10));
    // A tenth was due in the first 100 ms and left 300 ms later or more.
    assert!(
        report.all.latency.p90 >= ms(290),
        "{:?}",
        report.all.latency
    );
}

#[tokio::test]
async fn a_rate_beyond_what_can_be_sent_is_told_with_the_one_that_was_reached() {
    const COST: Duration = Duration::from_micros(50);
    let target = Script::new(|_| {
        let begun = Instant::now();
        while begun.elapsed() < COST {
            std::hint::spin_loop();
        }
        ready(GOOD)
    });
    let report = Generator::new(plan(100_000.0, ms(100)))
        .run(Arc::clone(&target), pending())
        .await;
    assert_eq!(report.rate.sent, 10_000);
    let last = *target.times().last().unwrap();
    let reached = 10_000.0 / last.as_secs_f64();
    let off = report.rate.held / reached - 1.0;
    assert!(off.abs() < 0.05, "{reached}: {:?}", report.rate);
    let told = report.rate.shortfall().unwrap();
    assert!(told.contains("/s instead of 100000/s ("), "{told}");
}

#[tokio::test(start_paused = true)]
async fn more_in_flight_than_is_safe_are_not_sent_and_counted() {
    let target = Script::new(|_| pending());
    let generator = Generator::new(Plan {
        most_in_flight: 30,
        ..plan(50.0, ms(2_000))
    });
    let watch = generator.watch();
    let report = generator
        .run_by(&Alarm::of_runtime(), Arc::clone(&target), sleep(ms(10_000)))
        .await;
    assert_eq!((report.rate.due, report.rate.sent), (100, 30));
    assert_eq!((report.rate.not_sent, report.unanswered), (70, 30));
    assert!((report.rate.held - 15.0).abs() < 1e-9, "{:?}", report.rate);
    let told = report.rate.shortfall().unwrap();
    assert_eq!(
        told,
        "15.0/s instead of 50/s (30.0 %); 70 were not sent, because 30 were in flight when they were due"
    );
    assert_eq!(watch.now().in_flight, 30);
    assert_eq!(
        report.length,
        ms(2_000),
        "only the answers were not awaited"
    );
}

#[tokio::test(start_paused = true)]
async fn who_stops_early_gets_what_was_measured() {
    let target = Script::new(|number| async move {
        sleep(ms(10)).await;
        match number % 4 {
            0 => Outcome::Failed(Failure::TimedOut),
            1 => Outcome::Status(503),
            _ => GOOD,
        }
    });
    let generator = Generator::new(plan(100.0, Duration::from_secs(3_600)));
    let watch = generator.watch();
    let report = generator
        .run_by(&Alarm::of_runtime(), Arc::clone(&target), sleep(ms(2_005)))
        .await;
    assert_eq!(report.length, ms(2_005));
    assert_eq!((report.rate.due, report.rate.sent), (201, 201));
    assert_eq!(report.rate.shortfall(), None, "of the part that was done");
    assert_eq!((report.unanswered, report.all.requests), (1, 200));
    assert!((report.error_rate() - 0.5).abs() < 1e-9);
    let told: Vec<String> = report
        .outcomes
        .iter()
        .map(|of| format!("{}: {}", of.outcome, of.requests))
        .collect();
    assert_eq!(told, ["200: 100", "503: 50", "no answer in time: 50"]);
    assert_eq!(report.outcomes[1].kinds.len(), 2);
    let seen = watch.now();
    assert_eq!((seen.sent, seen.errors, seen.in_flight), (201, 100, 1));
}
