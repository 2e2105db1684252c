//! One transaction.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::{
    Connection, Error,
    pool::{Held, Pool},
};

/// A transaction. Dropped without [`commit`](Tx::commit), also in the middle of a statement, it is rolled back.
#[derive(Debug)]
pub struct Tx<'s> {
    pool: &'s Arc<Pool>,
    held: Option<Held>,
}

const HELD: &str = "only commit and drop let go of the connection, and both end the transaction";

impl<'s> Tx<'s> {
    pub(crate) fn new(pool: &'s Arc<Pool>, held: Held) -> Self {
        Self {
            pool,
            held: Some(held),
        }
    }

    /// Makes the changes last.
    ///
    /// # Errors
    /// [`Error::Failed`] when a statement of the transaction failed or was given up, whatever became of its error: nothing
    /// was changed.
    /// After any other error it is unknown whether the changes were made.
    pub async fn commit(mut self) -> Result<(), Error> {
        if !self.may_commit() {
            let reason = "a statement of this transaction failed, so it cannot commit".to_owned();
            return Err(Error::Failed {
                source: sqlx::Error::InvalidArgument(reason),
            });
        }
        self.run("COMMIT").await?;
        if let Some(held) = self.held.take() {
            self.pool.give_back(held);
        }
        Ok(())
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.held.as_ref().expect(HELD).connection
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.held.as_mut().expect(HELD).connection
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.pool.abandon(held);
        }
    }
}
