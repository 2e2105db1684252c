//! The store: everybody's handle on the ring. The lock is held to put pieces in and to take references out; packing,
//! unpacking and drawing are done outside of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::{
    Filter, Stats, Summary, Trace, TraceId, packed,
    ring::{Kept, Ring},
    rows,
};

/// Traces that are looked at while the lock is held once.
const LOOK: usize = 512;

/// A cheap handle.
#[derive(Clone, Debug)]
pub struct Store {
    ring: Arc<Mutex<Ring>>,
}

impl Store {
    /// Keeps as many traces as fit into so many bytes, all that it needs for them counted.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            ring: Arc::new(Mutex::new(Ring::new(limit_bytes))),
        }
    }

    /// Takes spans in, and drops the oldest traces where there is no room for them. What has no place is counted.
    pub fn add(&self, spans: Vec<ResourceSpans>) {
        let (pieces, nameless) = packed::pack(spans);
        let mut ring = self.lock();
        ring.refuse(nameless);
        for piece in pieces {
            ring.put(piece);
        }
    }

    /// Of the traces that fit, the newest, newest first: by the arrival of their first spans.
    #[must_use]
    pub fn recent(&self, filter: &Filter, limit: usize) -> Vec<Summary> {
        let mut found: Vec<Kept> = Vec::new();
        let mut end = self.lock().end();
        while found.len() < limit {
            // In between others have their turn.
            let ring = self.lock();
            let mut seen = 0;
            for (number, kept) in ring.before(end, LOOK) {
                seen += 1;
                end = number;
                if filter.fits(kept.id, &kept.digest) && found.len() < limit {
                    found.push(kept.clone());
                }
            }
            if seen < LOOK {
                break;
            }
        }
        found.iter().map(summary).collect()
    }

    /// One trace, if it is kept.
    #[must_use]
    pub fn get(&self, id: TraceId) -> Option<Trace> {
        let kept = self.lock().get(id).cloned();
        kept.as_ref().map(trace)
    }

    /// The trace whose first span came last.
    #[must_use]
    pub fn last(&self) -> Option<Trace> {
        let kept = self.lock().last().cloned();
        kept.as_ref().map(trace)
    }

    /// What is kept and what is not.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(kept: &Kept) -> Summary {
    let Kept {
        id, digest, pieces, ..
    } = kept;
    let mut began: BTreeMap<String, u64> = BTreeMap::new();
    for piece in pieces {
        let origin = packed::origin(piece);
        let process = origin.process().to_owned();
        let begin = began.entry(process).or_insert(origin.begin);
        *begin = origin.begin.min(*begin);
    }
    let mut processes: Vec<(u64, String)> = began
        .into_iter()
        .map(|(process, begin)| (begin, process))
        .collect();
    processes.sort();
    Summary {
        id: *id,
        start: digest.start(),
        duration: digest.duration(),
        route: digest.route().to_owned(),
        status: digest.status().to_owned(),
        is_error: digest.is_error(),
        spans: digest.spans(),
        processes: processes.into_iter().map(|(_, process)| process).collect(),
    }
}

fn trace(kept: &Kept) -> Trace {
    let pieces = kept.pieces.iter().map(|piece| packed::unpack(piece));
    rows::trace(summary(kept), pieces.collect(), kept.digest.begin())
}

#[cfg(test)]
mod tests;
