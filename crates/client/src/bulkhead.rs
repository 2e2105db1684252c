//! Room for calls to one peer, so that one which is slow leaves the process to requests that do not need it.
//!
//! Of the calls to a peer, those that may take longest leave some of the room to the quicker ones: while charges hang,
//! orders cannot be placed, but can be looked at.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Call, Peer};

/// One place in so many is kept from the slowest calls.
const KEPT_SHARE: usize = 8;

/// The places for one peer.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    all: Arc<Semaphore>,
    /// Of those, what calls of this cap may have; `None` when all calls are alike.
    slowest: Option<(Duration, Arc<Semaphore>)>,
}

/// One call's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _slowest: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Bulkhead {
    pub(crate) fn new(peer: &Peer, places: usize) -> Self {
        let caps = || peer.calls.iter().map(|call| call.cap);
        let kept = places / KEPT_SHARE;
        let slowest = caps().max().filter(|_| caps().min() < caps().max());
        let slowest = slowest.filter(|_| kept > 0);
        Self {
            all: Arc::new(Semaphore::new(places)),
            slowest: slowest.map(|cap| (cap, Arc::new(Semaphore::new(places - kept)))),
        }
    }

    /// A place, if there is one now.
    pub(crate) fn enter(&self, call: &Call) -> Option<Place> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let slowest = match &self.slowest {
            Some((cap, places)) if call.cap == *cap => Some(take(places)?),
            _ => None,
        };
        Some(Place {
            _slowest: slowest,
            _all: take(&self.all)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn call(cap: Duration) -> Call {
        Call {
            rpc: "/shop.a.v1.A/Do",
            cap,
            floor: Duration::ZERO,
            uses: &[],
        }
    }

    const SLOW: Call = call(Duration::from_secs(4));
    const QUICK: Call = call(Duration::from_secs(1));
    static MIXED: Peer = Peer {
        name: "a",
        calls: &[QUICK, SLOW],
    };
    static ALIKE: Peer = Peer {
        name: "a",
        calls: &[SLOW, SLOW],
    };

    /// How many more calls there is room for.
    fn room(bulkhead: &Bulkhead, call: &Call) -> usize {
        let places = std::iter::from_fn(|| bulkhead.enter(call));
        places.collect::<Vec<_>>().len()
    }

    #[test]
    fn the_slowest_calls_leave_room_to_the_others() {
        let bulkhead = Bulkhead::new(&MIXED, 16);
        let slow: Vec<_> = std::iter::from_fn(|| bulkhead.enter(&SLOW)).collect();
        assert_eq!(slow.len(), 14);
        assert_eq!(room(&bulkhead, &QUICK), 2);
        drop(slow);
        assert_eq!(room(&bulkhead, &QUICK), 16);
        assert_eq!(room(&bulkhead, &SLOW), 14);
    }

    #[test]
    fn nothing_is_kept_where_all_calls_are_alike_or_there_is_too_little() {
        assert_eq!(room(&Bulkhead::new(&ALIKE, 16), &SLOW), 16);
        assert_eq!(room(&Bulkhead::new(&MIXED, 1), &SLOW), 1);
    }
}
