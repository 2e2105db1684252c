//! The lease among the processes of one machine: a lock on a file, which the system takes back from a process that dies.
//!
//! A holder that is paused keeps it. The tokens come from the store, so that replicas that were told `local:` on different
//! machines by mistake get in each other's way but never write over each other's work.

use std::{
    fs::{self, File, TryLockError},
    future::pending,
    path::PathBuf,
    time::Duration,
};

use mesh_context::Deadline;
use tonic::async_trait;

use super::{Election, Error, Term};
use crate::store::OrderStore;

const STORE_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Local {
    path: PathBuf,
    store: OrderStore,
}

impl Local {
    pub(super) fn new(path: PathBuf, store: OrderStore) -> Self {
        Self { path, store }
    }

    /// Waits for nobody, so that it may be done on the main runtime.
    fn lock(&self) -> Result<Option<File>, std::io::Error> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }
}

#[async_trait]
impl Election for Local {
    async fn campaign(&self) -> Result<Option<Box<dyn Term>>, Error> {
        let locked = self.lock().map_err(|source| Error::File {
            path: self.path.clone(),
            source,
        })?;
        let Some(locked) = locked else {
            return Ok(None);
        };
        let token = self.store.next_token(Deadline::after(STORE_LIMIT)).await?;
        Ok(Some(Box::new(Locked {
            token,
            _file: locked,
        })))
    }
}

/// Unlocked when it is dropped.
#[derive(Debug)]
struct Locked {
    token: i64,
    _file: File,
}

#[async_trait]
impl Term for Locked {
    fn token(&self) -> i64 {
        self.token
    }

    async fn keep(&mut self) {
        pending().await
    }

    async fn resign(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use mesh_store::Store;

    use super::*;

    mesh_store::on_each_database!(
        "orders",
        crate::MIGRATIONS,
        one_of_several_holds_it_and_every_term_has_a_higher_token,
    );

    async fn one_of_several_holds_it_and_every_term_has_a_higher_token(store: Store) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/orders.lease");
        let candidate = || Local::new(path.clone(), OrderStore::new(store.clone()));
        let (one, other) = (candidate(), candidate());
        let first = one.campaign().await.unwrap().unwrap();
        assert!(other.campaign().await.unwrap().is_none());
        let token = first.token();
        first.resign().await;
        let second = other.campaign().await.unwrap().unwrap();
        assert!(second.token() > token);
        // As when its process dies.
        drop(second);
        assert!(one.campaign().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_locked_is_named() {
        let sqlite = mesh_store::testing::sqlite();
        let store = Store::open(
            &mesh_store::testing::config(sqlite.url()),
            "orders",
            crate::MIGRATIONS,
        );
        let local = Local::new("/dev/null/orders.lease".into(), OrderStore::new(store));
        let problem = local.campaign().await.unwrap_err().to_string();
        assert!(
            problem.starts_with("cannot lock /dev/null/orders.lease: "),
            "{problem}"
        );
    }
}
