//! The traces that are kept, in the order of their first spans' arrival. The oldest makes room, whole.
//!
//! ```text
//!  index: id ─► number          gone: ids of the last that were dropped       kept: the traces
//!                               ┌───────────────┐┌──────────────────────────────────────────────┐
//!  numbers, by arrival          … first-2 first-1 first                                     newest
//! ```
//!
//! A span that comes for a dropped trace is counted, and does not begin the trace anew as long as its id is among `gone`.

use std::{
    collections::{HashMap, VecDeque},
    mem::size_of,
    sync::Arc,
};

use crate::{Stats, TraceId, digest::Digest, packed::Piece};

/// Spans of one trace.
const MOST_SPANS: usize = 20_000;
/// The part of the room that one trace may take: one in so many bytes.
const TRACE_SHARE: usize = 4;
/// One id of a dropped trace is remembered for so many bytes of room.
const BYTES_PER_GONE: usize = 4096;
/// A table that is so much larger than what is in it gives back memory.
const SPARSE: usize = 4;

#[derive(Debug)]
pub(crate) struct Ring {
    limit: usize,
    index: HashMap<TraceId, u64>,
    kept: VecDeque<Box<Kept>>,
    /// The number of the oldest kept.
    first: u64,
    gone: VecDeque<TraceId>,
    /// What the kept traces take, without the tables.
    payload: usize,
    spans: usize,
    dropped_traces: u64,
    dropped_spans: u64,
    received_spans: u64,
}

/// A trace.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: TraceId,
    pub(crate) digest: Digest,
    pub(crate) pieces: Vec<Arc<[u8]>>,
    /// What the pieces take.
    bytes: usize,
}

/// What an allocation of so many bytes takes, as glibc and jemalloc do it, small ones exactly.
fn allocation(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else {
        (bytes + 8).next_multiple_of(16).max(32)
    }
}

impl Kept {
    fn new(id: TraceId) -> Self {
        Self {
            id,
            digest: Digest::default(),
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    /// All memory that it takes.
    fn size(&self) -> usize {
        let texts = self.digest.texts().map(allocation);
        allocation(size_of::<Self>())
            + allocation(self.pieces.capacity() * size_of::<Arc<[u8]>>())
            + texts.iter().sum::<usize>()
            + self.bytes
    }
}

/// With the two counts of an `Arc`.
fn size_of_piece(bytes: &[u8]) -> usize {
    allocation(2 * size_of::<usize>() + bytes.len())
}

impl Ring {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            index: HashMap::new(),
            kept: VecDeque::new(),
            first: 0,
            gone: VecDeque::new(),
            payload: 0,
            spans: 0,
            dropped_traces: 0,
            dropped_spans: 0,
            received_spans: 0,
        }
    }

    /// Counts spans that are not kept.
    pub(crate) fn refuse(&mut self, spans: u64) {
        self.received_spans += spans;
        self.dropped_spans += spans;
    }

    pub(crate) fn put(&mut self, piece: Piece) {
        let Piece { id, digest, bytes } = piece;
        let (count, size) = (digest.spans(), size_of_piece(&bytes));
        let known = self.index.get(&id).copied();
        let place = known.map(|number| number.checked_sub(self.first));
        let is_too_much = match place {
            // It is late: its trace has gone.
            Some(None) => true,
            Some(Some(place)) => self.is_full(self.at(place), count, size),
            None => self.is_full(&Kept::new(id), count, size),
        };
        if is_too_much {
            self.refuse(count as u64);
            return;
        }
        let place = place.flatten().unwrap_or_else(|| self.begin(id));
        let kept = &mut self.kept[usize::try_from(place).expect("it is a place in memory")];
        let before = kept.size();
        kept.digest.merge(digest);
        kept.pieces.push(bytes);
        kept.bytes += size;
        self.payload = self.payload + kept.size() - before;
        self.spans += count;
        self.received_spans += count as u64;
        while self.bytes() > self.limit && self.drop_oldest() {}
    }

    fn is_full(&self, kept: &Kept, spans: usize, size: usize) -> bool {
        kept.digest.spans() + spans > MOST_SPANS || kept.bytes + size > self.limit / TRACE_SHARE
    }

    fn at(&self, place: u64) -> &Kept {
        &self.kept[usize::try_from(place).expect("it is a place in memory")]
    }

    /// The place of a new trace.
    fn begin(&mut self, id: TraceId) -> u64 {
        let place = self.kept.len() as u64;
        let kept = Box::new(Kept::new(id));
        self.payload += kept.size();
        self.kept.push_back(kept);
        self.index.insert(id, self.first + place);
        place
    }

    /// False when there is nothing left to drop.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.kept.pop_front() else {
            return false;
        };
        self.first += 1;
        self.payload -= oldest.size();
        self.spans -= oldest.digest.spans();
        self.dropped_traces += 1;
        self.dropped_spans += oldest.digest.spans() as u64;
        self.gone.push_back(oldest.id);
        if self.gone.len() > self.limit / BYTES_PER_GONE
            && let Some(forgotten) = self.gone.pop_front()
        {
            self.index.remove(&forgotten);
        }
        self.shrink();
        true
    }

    /// Many small traces leave large tables; the large traces that come next need the room.
    fn shrink(&mut self) {
        if self.kept.capacity() > SPARSE * self.kept.len().max(16) {
            self.kept.shrink_to(2 * self.kept.len());
        }
        if self.index.capacity() > SPARSE * self.index.len().max(16) {
            self.index.shrink_to(2 * self.index.len());
        }
    }

    /// All memory that is taken.
    fn bytes(&self) -> usize {
        // A hash table is filled to seven eighths, and has a byte beside each place.
        let slots = self.index.capacity() / 7 * 8;
        self.payload
            + slots * (size_of::<(TraceId, u64)>() + 1)
            + self.kept.capacity() * size_of::<Box<Kept>>()
            + self.gone.capacity() * size_of::<TraceId>()
    }

    pub(crate) fn get(&self, id: TraceId) -> Option<&Kept> {
        let place = self.index.get(&id)?.checked_sub(self.first)?;
        Some(self.at(place))
    }

    /// The number after the newest one's.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Up to `most` traces with numbers below `end`, newest first, with their numbers.
    pub(crate) fn before(&self, end: u64, most: usize) -> impl Iterator<Item = (u64, &Kept)> {
        let count = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let count = count.min(self.kept.len());
        let numbers = (self.first..self.first + count as u64).rev();
        let traces = self.kept.range(..count).rev().map(AsRef::as_ref);
        numbers.zip(traces).take(most)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            traces: self.kept.len() as u64,
            spans: self.spans as u64,
            bytes: self.bytes() as u64,
            limit: self.limit as u64,
            dropped_traces: self.dropped_traces,
            dropped_spans: self.dropped_spans,
            received_spans: self.received_spans,
        }
    }
}
