//! What every view needs, and what the page remembers of what people did.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use mesh_traces::{Store, TraceId};

use crate::{
    events::Events,
    guard::{Guard, Token},
    mesh::Placed,
    page::Options,
};

/// Tries and deeds that can still be looked at.
const KEPT: usize = 100;

/// One for all connections.
pub(crate) struct App<M> {
    pub(crate) mesh: M,
    pub(crate) store: Store,
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    pub(crate) events: Events,
    pub(crate) tries: Record<Try>,
    pub(crate) deeds: Record<Deed>,
}

/// An order that somebody placed from the page.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) token: &'static str,
    pub(crate) at: SystemTime,
    pub(crate) outcome: Result<Placed, String>,
}

/// What was done to a process.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) at: SystemTime,
    /// What was done, or why it was not.
    pub(crate) outcome: Result<String, String>,
}

impl<M> App<M> {
    pub(crate) fn new(mesh: M, store: Store, options: Options, port: u16) -> Self {
        Self {
            mesh,
            store,
            options,
            guard: Guard::new(port, Token::random()),
            events: Events::new(),
            tries: Record::new(),
            deeds: Record::new(),
        }
    }

    /// Whether an order that was placed from here has this trace.
    pub(crate) fn has_tried(&self, trace: TraceId) -> bool {
        let of = |tried: &Try| tried.outcome.as_ref().ok()?.trace;
        self.tries
            .newest()
            .iter()
            .any(|(_, tried)| of(tried) == Some(trace))
    }
}

/// The newest of something, each with its number.
#[derive(Debug)]
pub(crate) struct Record<T>(Mutex<VecDeque<(u64, T)>>);

impl<T: Clone> Record<T> {
    fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Answers with its number; the first is 1.
    pub(crate) fn add(&self, entry: T) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(1, |(last, _)| last + 1);
        kept.push_back((number, entry));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        number
    }

    pub(crate) fn get(&self, number: u64) -> Option<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(known, _)| *known == number)
            .map(|(_, entry)| entry.clone())
    }

    /// All that is kept, newest first.
    pub(crate) fn newest(&self) -> Vec<(u64, T)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_under_their_numbers() {
        let record = Record::new();
        for expected in 1..=KEPT as u64 + 2 {
            assert_eq!(record.add(expected * 10), expected);
        }
        assert_eq!(record.get(2), None);
        assert_eq!(record.get(3), Some(30));
        let newest = record.newest();
        assert_eq!(newest.len(), KEPT);
        assert_eq!(newest[0], (102, 1020));
    }
}
