//! Profiles of this very process, decoded: a function known to be hot is in them.

use std::{
    collections::HashMap,
    hint::black_box,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prost::Message as _;

use super::{ProfileError, cpu, heap, pprof::Profile};

#[inline(never)]
fn known_to_be_hot(rounds: u64) -> u64 {
    (0..rounds).fold(0, |sum: u64, i| {
        black_box(sum.rotate_left(5) ^ i.wrapping_mul(0x9e37_79b9))
    })
}

#[inline(never)]
fn known_to_be_large() -> Vec<Vec<u8>> {
    (0..64).map(|_| black_box(vec![1u8; 1 << 20])).collect()
}

/// Share of the second value by function, callees included.
fn shares(gzipped: &[u8]) -> HashMap<String, f64> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(gzipped)
        .read_to_end(&mut bytes)
        .expect("it is gzip");
    let profile = Profile::decode(&bytes[..]).expect("it is a profile");
    let name = |location: &u64| {
        let location = profile
            .location
            .iter()
            .find(|l| l.id == *location)
            .expect("the location is there");
        let function = profile
            .function
            .iter()
            .find(|f| f.id == location.line[0].function_id)
            .expect("the function too");
        profile.string_table[usize::try_from(function.name).expect("an index")].clone()
    };
    let total: i64 = profile.sample.iter().map(|sample| sample.value[1]).sum();
    let mut shares: HashMap<String, f64> = HashMap::new();
    for sample in &profile.sample {
        let mut seen: Vec<String> = sample.location_id.iter().map(name).collect();
        seen.sort();
        seen.dedup();
        for function in seen {
            *shares.entry(function).or_default() += sample.value[1] as f64 / total as f64;
        }
    }
    shares
}

fn share_of(shares: &HashMap<String, f64>, function: &str) -> f64 {
    shares
        .iter()
        .filter(|(name, _)| name.contains(function))
        .map(|(_, share)| share)
        .sum()
}

/// One test, because a process has one profiler: it is refused while another profile is taken.
#[tokio::test]
async fn both_profiles_find_what_is_hot() {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            black_box(known_to_be_hot(100_000));
        }
    });
    let (profile, refused) = tokio::join!(cpu(Duration::from_secs(1), 99), async {
        tokio::task::yield_now().await;
        cpu(Duration::from_secs(1), 99).await
    });
    assert!(matches!(refused, Err(ProfileError::Busy)), "{refused:?}");
    let profile = profile.expect("the first is taken");
    for _ in 0..20 {
        cpu(Duration::from_millis(10), 1000)
            .await
            .expect("one after the other");
    }
    stop.store(true, Ordering::Relaxed);
    busy.join().expect("it ends");
    let all = shares(&profile);
    // Other tests work in this process too.
    assert!(share_of(&all, "known_to_be_hot") > 0.1, "{all:?}");

    let kept = known_to_be_large();
    let profile = heap().await.expect("the heap is there");
    drop(kept);
    let all = shares(&profile);
    assert!(share_of(&all, "known_to_be_large") > 0.5, "{all:?}");
}
