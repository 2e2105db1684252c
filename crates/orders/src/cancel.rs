//! Cancelling an order: the stock decides, then the money goes back.
//!
//! Somebody may be fulfilling the order at this moment. Inventory alone sees both sides, so the wish is recorded, then
//! the reservation released; only when that came before the `Commit` is the order cancelled and the refund due.

use mesh_context::RequestContext;

use crate::{
    compensate::own_time,
    error::{Error, Result},
    order::{Event, Order, OrderId, Record, Status},
    peers::Release,
    service::Service,
};

const FULFILLED: Error = Error::TooLate("already fulfilled");

impl Service {
    /// Cancels a confirmed order; one that is cancelled stays so.
    pub(crate) async fn cancel(&self, ctx: &RequestContext, id: &str) -> Result<Order> {
        let id: OrderId = id.parse().map_err(|_| Error::NotFound)?;
        let record = self.find(ctx, id).await?;
        match record.order.status {
            Status::Pending => Err(Error::PaymentOpen),
            Status::Failed => Err(Error::TooLate("not placed: it failed")),
            Status::Fulfilled => Err(FULFILLED),
            Status::Confirmed => self.cancel_confirmed(ctx, id).await,
            Status::Cancelled => Ok(self.refund_due(ctx, record).await),
        }
    }

    async fn cancel_confirmed(&self, ctx: &RequestContext, id: OrderId) -> Result<Order> {
        let now = self.clock.now();
        if !self.store.request_cancel(id, now, ctx.deadline()).await? {
            return Err(Error::InProgress);
        }
        let (service, ctx) = (self.clone(), ctx.clone());
        let section = async move {
            let record = service.take_back(&own_time(&ctx), id).await?;
            Ok(service.refund_due(&ctx, record).await)
        };
        self.tasks.finish("cancel", section).await
    }

    /// Releases the stock and records what that decided.
    async fn take_back(&self, ctx: &RequestContext, id: OrderId) -> Result<Record> {
        if self.peers.release(ctx, id).await? == Release::Committed {
            self.store.drop_cancel(id, ctx.deadline()).await?;
            return Err(FULFILLED);
        }
        let mut record = self.find(ctx, id).await?;
        if record.order.status == Status::Cancelled {
            return Ok(record);
        }
        record.apply(Event::StockReleased, self.clock.now())?;
        if self.store.cancel(&record, ctx.deadline()).await? {
            Ok(record)
        } else {
            // Another call was faster; the stock told it the same.
            self.find(ctx, id).await
        }
    }

    /// Gives the money back if that has not been done, and answers with the order either way.
    async fn refund_due(&self, ctx: &RequestContext, record: Record) -> Order {
        if record.refund_due_at.is_some() {
            self.refund(ctx, record.order.id, &record.charge_key).await;
        }
        record.order
    }

    pub(crate) async fn find(&self, ctx: &RequestContext, id: OrderId) -> Result<Record> {
        let record = self.store.get(id, ctx.deadline()).await?;
        record.ok_or(Error::NotFound)
    }
}
