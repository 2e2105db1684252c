//! Recording that an order is fulfilled: the last step of its life, taken for a message from the queue.
//!
//! The same message may come twice, also at the same time: the order is fulfilled once, by the first, and every later one
//! is told the same.

use mesh_context::RequestContext;

use crate::{
    error::{Error, Result},
    order::{Event, OrderId, Record, Status},
    placement::Malformed,
    service::Service,
};

/// Characters of a message's id.
const MAX_MESSAGE_ID: usize = 255;

impl Service {
    /// Records an order as fulfilled because of a message; one that is fulfilled stays so.
    pub(crate) async fn mark_fulfilled(
        &self,
        ctx: &RequestContext,
        id: &str,
        message: &str,
    ) -> Result<()> {
        if !(1..=MAX_MESSAGE_ID).contains(&message.chars().count()) || message.contains('\0') {
            return Err(Malformed::MessageId.into());
        }
        let id: OrderId = id.parse().map_err(|_| Error::NotFound)?;
        let mut record = self.find(ctx, id).await?;
        if record.order.status == Status::Confirmed {
            record.apply(Event::StockSold, self.clock.now())?;
            if self.store.fulfil(&record, message, ctx.deadline()).await? {
                return Ok(());
            }
            record = self.find(ctx, id).await?;
        }
        fulfilled(&record)
    }
}

fn fulfilled(record: &Record) -> Result<()> {
    match record.order.status {
        Status::Fulfilled => Ok(()),
        Status::Pending => Err(Error::PaymentOpen),
        Status::Confirmed => Err(Error::InProgress),
        Status::Cancelled => Err(Error::TooLate("cancelled")),
        Status::Failed => Err(Error::TooLate("not placed: it failed")),
    }
}
