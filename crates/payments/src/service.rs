//! Charges, refunds and questions about them: the order of the steps.

use std::{future::Future, sync::Arc, time::Duration};

use mesh_chassis::Tasks;
use mesh_context::Deadline;
use tokio::time::timeout;

use crate::{
    charge::{Invalid, Key, Next, Order, Refusal, State, next},
    error::Error,
    provider::{self, Provider},
    store::Charges,
};

/// How long the provider is waited for. Longer than any caller waits, so that a late outcome is recorded, not lost; within
/// the shortest drain timeout, so that a process that stops waits for it.
const PROVIDER_LIMIT: Duration = Duration::from_secs(4);
/// For the record of what the provider did.
const RECORD_LIMIT: Duration = Duration::from_secs(3);

/// Everything payments does. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Service<P>(Arc<Parts<P>>);

#[derive(Debug)]
struct Parts<P> {
    charges: Charges,
    provider: P,
    tasks: Tasks,
}

impl<P: Provider> Service<P> {
    pub(crate) fn new(charges: Charges, provider: P, tasks: Tasks) -> Self {
        Self(Arc::new(Parts {
            charges,
            provider,
            tasks,
        }))
    }

    /// Takes money, or says what became of the key before.
    pub(crate) async fn charge(&self, order: Order, deadline: Deadline) -> Result<State, Error> {
        let Parts {
            charges,
            provider,
            tasks,
        } = &*self.0;
        if !provider.knows(order.token.expose()) {
            return Err(Invalid::Token.into());
        }
        let fingerprint = order.fingerprint();
        let before = charges
            .start(&order.key, State::Started, Some(&fingerprint), deadline)
            .await?;
        if let Some(record) = before
            && let Next::Answer(state) = next(&record, &fingerprint)?
        {
            return Ok(state);
        }
        let parts = Arc::clone(&self.0);
        let section = tasks.finish(
            "charge",
            async move { parts.charge_and_record(&order).await },
        );
        match section.await? {
            State::Voided => Err(Refusal::Voided.into()),
            state => Ok(state),
        }
    }

    /// Gives back what was taken, or sees to it that nothing is.
    pub(crate) async fn refund(&self, key: Key, deadline: Deadline) -> Result<State, Error> {
        let Parts {
            charges,
            provider: _,
            tasks,
        } = &*self.0;
        let Some(record) = charges.start(&key, State::Voided, None, deadline).await? else {
            return Ok(State::Voided);
        };
        match record.state {
            State::Started | State::Charged => {
                let parts = Arc::clone(&self.0);
                tasks
                    .finish("refund", async move { parts.refund_and_record(&key).await })
                    .await
            }
            settled @ (State::Declined | State::Refunded | State::Voided) => Ok(settled),
        }
    }

    /// What became of the key, as far as is known now.
    pub(crate) async fn find(&self, key: &Key, deadline: Deadline) -> Result<Option<State>, Error> {
        let Parts {
            charges,
            provider,
            tasks: _,
        } = &*self.0;
        let Some(record) = charges.find(key, deadline).await? else {
            return Ok(None);
        };
        if record.state != State::Started {
            return Ok(Some(record.state));
        }
        match answer(provider.find(key)).await? {
            Some(outcome) => Ok(Some(charges.settle(key, outcome, deadline).await?)),
            None => Ok(None),
        }
    }
}

impl<P: Provider> Parts<P> {
    async fn charge_and_record(&self, order: &Order) -> Result<State, Error> {
        let outcome = answer(self.provider.charge(order)).await;
        self.record(&order.key, outcome).await
    }

    async fn refund_and_record(&self, key: &Key) -> Result<State, Error> {
        let outcome = answer(self.provider.refund(key)).await;
        self.record(key, outcome).await
    }

    async fn record(
        &self,
        key: &Key,
        outcome: Result<State, provider::Error>,
    ) -> Result<State, Error> {
        let deadline = Deadline::after(RECORD_LIMIT);
        let recorded = match outcome {
            Ok(outcome) => self.charges.settle(key, outcome, deadline).await,
            Err(error) => Err(error.into()),
        };
        // The caller may be gone, so it is said here; nothing is lost, for the provider can be asked.
        recorded.inspect_err(
            |error| tracing::warn!(key = key.as_str(), %error, "an outcome is not recorded"),
        )
    }
}

async fn answer<T>(
    call: impl Future<Output = Result<T, provider::Error>>,
) -> Result<T, provider::Error> {
    timeout(PROVIDER_LIMIT, call)
        .await
        .unwrap_or(Err(provider::Error::NoAnswer))
}

#[cfg(test)]
mod tests;
