//! Sessions in the memory of one gateway: for a laptop, and for tests. They end with the process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::ready;
use mesh_context::Deadline;
use tokio::time::Instant;

use super::{Answer, SessionName, Sessions, TTL, Versioned};
use crate::cart::Cart;

/// Sessions kept at once. Each holds at most 50 lines, so all of them together stay below 100 MB.
const CAPACITY: usize = 20_000;

/// Keeps the newest sessions, as many as it has room for.
#[derive(Debug)]
pub(crate) struct Memory {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionName, Session>,
    /// Oldest first, which is also the order in which they end.
    by_age: VecDeque<SessionName>,
}

#[derive(Debug)]
struct Session {
    ends: Instant,
    held: Versioned,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            capacity,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self, capacity: usize, now: Instant) {
        while let Some(oldest) = self.by_age.front() {
            let ended = self
                .sessions
                .get(oldest)
                .is_none_or(|session| session.ends <= now);
            if !ended && self.sessions.len() < capacity {
                return;
            }
            self.sessions.remove(oldest);
            self.by_age.pop_front();
        }
    }

    fn living(&mut self, name: &SessionName) -> Option<&mut Versioned> {
        let now = Instant::now();
        self.sessions
            .get_mut(name)
            .filter(|session| session.ends > now)
            .map(|session| &mut session.held)
    }
}

impl Sessions for Memory {
    fn create<'a>(&'a self, name: &'a SessionName, _: Deadline) -> Answer<'a, ()> {
        let now = Instant::now();
        let mut state = self.state();
        state.make_room(self.capacity, now);
        let session = Session {
            ends: now + TTL,
            held: Versioned::default(),
        };
        state.sessions.insert(name.clone(), session);
        state.by_age.push_back(name.clone());
        Box::pin(ready(Ok(())))
    }

    fn find<'a>(&'a self, name: &'a SessionName, _: Deadline) -> Answer<'a, Option<Versioned>> {
        let found = self.state().living(name).map(|held| held.clone());
        Box::pin(ready(Ok(found)))
    }

    fn replace<'a>(
        &'a self,
        name: &'a SessionName,
        read: u64,
        cart: Cart,
        _: Deadline,
    ) -> Answer<'a, bool> {
        let replaced = match self.state().living(name) {
            Some(held) if held.version == read => {
                *held = Versioned {
                    cart,
                    version: read + 1,
                };
                true
            }
            _ => false,
        };
        Box::pin(ready(Ok(replaced)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::{
        SessionId,
        tests::{only_the_version_that_was_read_is_replaced, some_cart, soon},
    };

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_for_a_day() {
        let sessions = Memory::new();
        let name = SessionId::random().name();
        assert_eq!(sessions.find(&name, soon()).await, Ok(None));
        sessions.create(&name, soon()).await.unwrap();
        tokio::time::advance(TTL - Duration::from_millis(1)).await;
        assert!(sessions.find(&name, soon()).await.unwrap().is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(sessions.find(&name, soon()).await, Ok(None));
        let replaced = sessions.replace(&name, 0, some_cart(), soon());
        assert_eq!(replaced.await, Ok(false));

        let newer = SessionId::random().name();
        sessions.create(&newer, soon()).await.unwrap();
        assert_eq!(
            sessions.state().sessions.len(),
            1,
            "what has ended is forgotten"
        );
    }

    #[tokio::test]
    async fn a_cart_is_kept_with_its_version() {
        only_the_version_that_was_read_is_replaced(&Memory::new()).await;
    }

    #[tokio::test]
    async fn the_oldest_make_room_for_the_newest() {
        let sessions = Memory::with_capacity(2);
        let names: Vec<_> = (0..3).map(|_| SessionId::random().name()).collect();
        for name in &names {
            sessions.create(name, soon()).await.unwrap();
        }
        assert_eq!(sessions.find(&names[0], soon()).await, Ok(None));
        assert!(sessions.find(&names[1], soon()).await.unwrap().is_some());
        assert!(sessions.find(&names[2], soon()).await.unwrap().is_some());
    }
}
