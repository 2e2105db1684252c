//! What is done for one order.

use std::time::Duration;

use mesh_chassis::crash_point;
use mesh_context::RequestContext;

use super::Reconciler;
use crate::{
    charge::ChargeState,
    clock::Timestamp,
    error::{Error, Result},
    order::{Event, OrderId, Record, Status, Step},
    outbox::Message,
    peers::{INVENTORY, RECONCILER, Release},
    placement::{Answer, Outcome},
    store::{Due, Fenced, KeyEnd, Work},
};

/// For one order: all the calls it may take, and the store.
pub(crate) const TIME: Duration = Duration::from_secs(8);

/// A charge whose outcome is not known may be on its way for so long: longer than the service that sent it and the one
/// that makes it work on it together.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// A customer whose order met the death of its process comes back within this and resumes it, if ever.
const RESUMED: Duration = Duration::from_secs(30);
/// A customer who was told that nothing happened may come back for so long.
const UNCHARGED: Duration = super::AGES.reserved;

impl Reconciler {
    /// `false` when it is too early to decide.
    pub(super) async fn work(&self, work: Work, due: &Due, store: &Fenced) -> Result<bool> {
        let ctx = self.runtime.task_context(RECONCILER, TIME);
        // As it is now: somebody may have been faster.
        let found = self.service.store.peek(due.order, ctx.deadline()).await?;
        let Some(record) = found else {
            return Ok(true);
        };
        match work {
            Work::Payment => return self.pay(&ctx, record, due.died, store).await,
            Work::Cancel => self.cancel(&ctx, record, store).await?,
            Work::Refund => self.refund(&ctx, &record, store).await?,
            Work::Release => self.release(&ctx, record.order.id, store).await?,
        }
        Ok(true)
    }

    async fn pay(
        &self,
        ctx: &RequestContext,
        record: Record,
        died: bool,
        store: &Fenced,
    ) -> Result<bool> {
        if record.order.status != Status::Pending {
            return Ok(true);
        }
        match record.step {
            Step::Reserve => self.forget(ctx, record, store).await?,
            Step::Charge | Step::Settle => {
                let state = self.service.peers.get_charge(ctx, &record.charge_key);
                let state = state.await?;
                crash_point("orders.reconcile.get_charge.after");
                match event(state) {
                    Some(event) => self.conclude(ctx, record, event, store).await?,
                    None if self.is_hopeless(&record, died) => {
                        let record = self.give_up(ctx, record, store).await?;
                        self.void(ctx, record, store).await?;
                    }
                    None => return Ok(false),
                }
            }
            Step::Void => self.void(ctx, record, store).await?,
            Step::Done => return Err(Error::corrupt("an order", "pending, but done")),
        }
        Ok(true)
    }

    /// Nobody will charge for it any more, and if somebody did it would be known.
    fn is_hopeless(&self, record: &Record, died: bool) -> bool {
        let now = self.service.clock.now();
        let since = |time: Timestamp, patience| now >= time.plus(patience);
        match (record.step, died) {
            (Step::Settle, _) => since(record.order.updated_at, ON_ITS_WAY),
            (_, true) => since(record.order.updated_at, RESUMED),
            (_, false) => since(record.order.created_at, UNCHARGED),
        }
    }

    /// From here on no attempt charges for it.
    async fn give_up(
        &self,
        ctx: &RequestContext,
        mut record: Record,
        store: &Fenced,
    ) -> Result<Record> {
        let now = self.service.clock.now();
        record.apply(Event::GivenUp, now)?;
        let settled = store.settle(&record, KeyEnd::Free, None, now, ctx.deadline());
        settled.await?;
        Ok(record)
    }

    /// Sees to it that there is no charge and will be none; then the order has failed.
    async fn void(&self, ctx: &RequestContext, record: Record, store: &Fenced) -> Result<()> {
        let key = &record.charge_key;
        self.service.peers.refund(ctx, key).await?;
        crash_point("orders.reconcile.void.after");
        self.conclude(ctx, record, Event::Refused, store).await
    }

    /// Records the end of the order with the answer for whoever asks with the same key.
    async fn conclude(
        &self,
        ctx: &RequestContext,
        mut record: Record,
        event: Event,
        store: &Fenced,
    ) -> Result<()> {
        let now = self.service.clock.now();
        record.apply(event, now)?;
        let order = record.order.id;
        let outcome = if record.order.status == Status::Confirmed {
            Outcome::Confirmed
        } else {
            Outcome::Declined
        };
        let answer = Answer {
            outcome,
            order: record.order.clone(),
            out_of_stock: Vec::new(),
        };
        // Part of the trace of the request that placed it, like the message of an order that had no trouble.
        let message = (event == Event::Charged).then(|| Message {
            trace_headers: record.trace_headers.clone(),
            ..Message::confirmed(order, ctx, now)
        });
        let key = KeyEnd::Final(&answer);
        store
            .settle(&record, key, message.as_ref(), now, ctx.deadline())
            .await?;
        tracing::info!(%order, ?outcome, "settled");
        if record.release_due_at.is_some() {
            self.release(ctx, order, store).await?;
        }
        Ok(())
    }

    /// Nothing was ever answered: its key is free again, and what may be reserved for it is released.
    async fn forget(&self, ctx: &RequestContext, mut record: Record, store: &Fenced) -> Result<()> {
        let now = self.service.clock.now();
        record.apply(Event::GivenUp, now)?;
        store
            .settle(&record, KeyEnd::Remove, None, now, ctx.deadline())
            .await?;
        self.release(ctx, record.order.id, store).await
    }

    async fn cancel(&self, ctx: &RequestContext, mut record: Record, store: &Fenced) -> Result<()> {
        let order = record.order.id;
        if record.order.status != Status::Confirmed || record.cancel_requested_at.is_none() {
            return Ok(());
        }
        if self.service.peers.release(ctx, order).await? == Release::Committed {
            return store.done(Work::Cancel, order, ctx.deadline()).await;
        }
        record.apply(Event::StockReleased, self.service.clock.now())?;
        store.cancel(&record, ctx.deadline()).await?;
        tracing::info!(%order, "cancelled");
        self.refund(ctx, &record, store).await
    }

    async fn refund(&self, ctx: &RequestContext, record: &Record, store: &Fenced) -> Result<()> {
        self.service.peers.refund(ctx, &record.charge_key).await?;
        crash_point("orders.reconcile.refund.after");
        let order = record.order.id;
        store.done(Work::Refund, order, ctx.deadline()).await
    }

    async fn release(&self, ctx: &RequestContext, order: OrderId, store: &Fenced) -> Result<()> {
        let answer = self.service.peers.release(ctx, order).await?;
        crash_point("orders.reconcile.release.after");
        match answer {
            Release::Released => store.done(Work::Release, order, ctx.deadline()).await,
            Release::Committed => {
                let reason = "sold what was never paid for";
                Err(Error::contract(INVENTORY.name, reason))
            }
        }
    }
}

/// What payments has recorded; nothing when it knows of no money taken.
fn event(state: ChargeState) -> Option<Event> {
    match state {
        ChargeState::None => None,
        ChargeState::Charged => Some(Event::Charged),
        ChargeState::Declined | ChargeState::Returned => Some(Event::Refused),
    }
}
