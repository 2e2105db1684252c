//! The memory of a store that gets far more than it may keep: what it counts is true of the whole process.
//! Alone in its file, for nothing else may allocate meanwhile.

#![cfg(test)]
#![cfg(target_os = "linux")]

use std::fs;

use mesh_traces::{Filter, Store};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

const ROOM: usize = 32 << 20;
/// What the count may be wrong by, in either direction.
const ALLOWANCE: f64 = 1.15;
/// On top of it where pieces of very different size come and go: holes that glibc leaves between them.
const HOLES: f64 = 1.15;

/// What the process has in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// What one process sends of this trace, much as ours do.
fn batch(trace: u128, process: u8, spans: u8, filler: usize) -> ResourceSpans {
    let attribute = |(key, value): (&str, String)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        key_strindex: 0,
    };
    let span = |number: u8| Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: vec![process, number, 1, 1, 1, 1, 1, 1],
        parent_span_id: vec![process; 8],
        name: "shop.inventory.v1.InventoryService/Reserve".to_owned(),
        start_time_unix_nano: 1_795_000_000_000_000_000,
        end_time_unix_nano: 1_795_000_000_005_000_000,
        attributes: [
            (
                "rpc.service",
                "shop.inventory.v1.InventoryService".to_owned(),
            ),
            ("rpc.method", "Reserve".to_owned()),
            ("filler", "x".repeat(filler)),
        ]
        .map(attribute)
        .to_vec(),
        ..Span::default()
    };
    ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: (0..spans).map(span).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// Until nothing is kept of what was before, and as much as is kept was dropped again.
fn fill(store: &Store, first: u128, mut size: impl FnMut(u128) -> (u8, u8, usize)) -> u128 {
    let before = store.stats();
    let mut trace = first;
    loop {
        let (processes, spans, filler) = size(trace);
        for process in 0..processes {
            store.add(vec![batch(trace, process, spans, filler)]);
        }
        trace += 1;
        let now = store.stats();
        if now.dropped_traces > before.dropped_traces + before.traces + now.traces {
            return trace;
        }
    }
}

#[test]
fn the_count_is_what_the_process_needs_whatever_the_traces_are_like() {
    // What the code itself needs is there before we begin.
    fill(&Store::new(1 << 20), 0, |_| (5, 2, 40));
    let before = resident();
    let store = Store::new(ROOM);
    let mut next = 0;
    let check = |kind: &str, allowance: f64| {
        let (grown, stats) = (resident() - before, store.stats());
        assert!(
            stats.dropped_traces > 0 && stats.bytes <= stats.limit,
            "{kind}: {stats:?}"
        );
        assert!(
            stats.bytes * 10 > stats.limit * 9,
            "{kind}: room is left: {stats:?}"
        );
        let share = grown as f64 / stats.bytes as f64;
        assert!(
            (1.0 / allowance..allowance).contains(&share),
            "{kind}: {grown} bytes in memory, {stats:?}"
        );
    };
    next = fill(&store, next, |_| (5, 2, 40));
    check("as ours are", ALLOWANCE);
    next = fill(&store, next, |_| (1, 1, 0));
    check("tiny", ALLOWANCE);
    // From tiny to large in turn.
    fill(&store, next, |trace| {
        (5, 1 + (trace % 7) as u8, (trace as usize % 31) * 100)
    });
    check("mixed", ALLOWANCE * HOLES);
    assert!(!store.recent(&Filter::default(), 100).is_empty());
}
