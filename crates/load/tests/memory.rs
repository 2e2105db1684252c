//! Memory does not grow with what was sent. Alone in its process, so that nobody else's memory is counted.

#![cfg(test)]
#![cfg(target_os = "linux")]

use std::{
    fs,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use mesh_load::{Generator, Mix, Outcome, Plan, Report, Target};

/// Answers at once, with one status after the other.
struct Counting(AtomicU16);

impl Target for Counting {
    async fn send(&self, _kind: usize) -> Outcome {
        Outcome::Status(100 + self.0.fetch_add(1, Ordering::Relaxed) % 500)
    }
}

/// Faster than anything can be sent: all of it leaves late.
async fn run(length: Duration) -> Report {
    let plan = Plan {
        rate: 100_000.0,
        length,
        mix: Mix::parse("only", &["only"]).unwrap(),
        most_in_flight: 1_000,
    };
    let target = Arc::new(Counting(AtomicU16::new(0)));
    Generator::new(plan).run(target, pending()).await
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn memory_does_not_grow_with_what_was_sent() {
    let few = run(Duration::from_millis(100)).await;
    let before = resident();
    let many = run(Duration::from_secs(3)).await;
    let grown = resident().saturating_sub(before);
    assert_eq!((few.rate.sent, many.rate.sent), (10_000, 300_000));
    assert_eq!(many.outcomes.len(), 500);
    assert!(many.over_time.len() <= 120, "{}", many.over_time.len());
    // Fifty bytes of each would be more.
    assert!(grown < 14 << 20, "{grown} bytes");
}
