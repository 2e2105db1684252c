//! An attempt's hold on an idempotency key.
//!
//! While it lasts nobody else works under the key. It ends with the attempt: with a recorded answer; with an error, when
//! the key is unlocked before the caller hears of it, so that it may try again at once; or when the attempt is dropped in
//! the middle, its caller gone. Of a holder that died with its process the time runs out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_chassis::{Section, Tasks};
use mesh_context::Deadline;
use uuid::Uuid;

use crate::{clock::Timestamp, error::Error, store::OrderStore};

/// After this a holder that said nothing is taken for dead.
pub(crate) const TIME: Duration = Duration::from_secs(10);
/// For unlocking, whatever time the request has left.
const UNLOCKING: Duration = Duration::from_secs(1);

/// A key and the name under which an attempt holds it.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) key: String,
    pub(crate) holder: String,
}

impl Lease {
    /// When the hold of one that is alive now is over.
    pub(crate) fn until(now: Timestamp) -> Timestamp {
        now.plus(TIME)
    }
}

/// Unlocks the key when the last clone is dropped, unless the hold is over by then.
#[derive(Debug, Clone)]
pub(crate) struct Hold(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lease: Lease,
    over: AtomicBool,
    store: OrderStore,
    tasks: Tasks,
}

impl Hold {
    /// To be made before the key is taken, so that it is never left locked.
    pub(crate) fn new(key: &str, store: OrderStore, tasks: Tasks) -> Self {
        let lease = Lease {
            key: key.to_owned(),
            holder: Uuid::new_v4().to_string(),
        };
        Self(Arc::new(Inner {
            lease,
            over: AtomicBool::new(false),
            store,
            tasks,
        }))
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// The key is not held any more, or never was.
    pub(crate) fn over(&self) {
        self.0.over.store(true, Ordering::Release);
    }

    /// Unlocks the key if it is held, and waits for that until `deadline`.
    pub(crate) async fn unlock(&self, deadline: Deadline) {
        if let Some(unlocking) = self.0.unlock() {
            // In vain or not, the attempt has failed already.
            let _ = tokio::time::timeout_at(deadline.instant(), unlocking).await;
        }
    }
}

impl Inner {
    fn unlock(&self) -> Option<Section<()>> {
        if self.over.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (store, lease) = (self.store.clone(), self.lease.clone());
        Some(self.tasks.finish("unlock", async move {
            match store.unlock(&lease, Deadline::after(UNLOCKING)).await {
                // Another has it, or the attempt had not got as far as to take it.
                Ok(()) | Err(Error::InProgress) => {}
                Err(error) => tracing::warn!(%error, "a key stays locked until its time is over"),
            }
        }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.unlock());
    }
}
