//! The store: everybody's handle on the ring. The lock is held to put pieces in and to take references out; packing,
//! unpacking and drawing are done outside of it.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::{
    Filter, Stats, Summary, Trace, TraceId, packed,
    ring::{Kept, Ring},
    rows,
};

/// Traces that are looked at while the lock is held once.
const LOOK: usize = 512;

/// Traces may arrive in another order than they began. So many are looked at for the last one.
const LAST: usize = 64;

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

    /// Of the traces that fit, the last to arrive, newest first.
    #[must_use]
    pub fn recent(&self, filter: &Filter, limit: usize) -> Vec<Summary> {
        let newest = self.newest(limit, |kept| filter.fits(kept.id, &kept.digest));
        newest.iter().map(summary).collect()
    }

    /// So many that are such and came last, those first that began last.
    fn newest(&self, limit: usize, is_such: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let mut found: Vec<Kept> = Vec::new();
        let mut end = self.lock().end();
        while found.len() < limit {
            // In between others have their turn.
            let ring = self.lock();
            let mut seen = 0;
            for (number, kept) in ring.before(end, LOOK) {
                seen += 1;
                end = number;
                if found.len() < limit && is_such(kept) {
                    found.push(kept.clone());
                }
            }
            if seen < LOOK {
                break;
            }
        }
        let now = SystemTime::now();
        // A start that is still to come says nothing.
        found.sort_by_key(|kept| Reverse(Some(kept.digest.start()).filter(|start| *start <= now)));
        found
    }

    /// One trace, if it is kept.
    #[must_use]
    pub fn get(&self, id: TraceId) -> Option<Trace> {
        let kept = self.lock().get(id).cloned();
        kept.as_ref().map(trace)
    }

    /// The newest trace that somebody asked for; what processes do by themselves is the last only if there is nothing else.
    #[must_use]
    pub fn last(&self) -> Option<Trace> {
        let mut newest = self.newest(LAST, |kept| kept.digest.is_request());
        if newest.is_empty() {
            newest = self.newest(LAST, |_| true);
        }
        newest.first().map(trace)
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
        took: digest.took(),
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
