//! Compensation: recorded as due first, then made on a deadline of its own, so that a card declined late in the budget
//! still frees the stock. The request waits for it while it has time. What fails stays due.

use std::time::Duration;

use mesh_chassis::{Section, crash_point};
use mesh_context::{Deadline, RequestContext};

use crate::{
    error::{Error, Result},
    order::OrderId,
    peers::{INVENTORY, RELEASE_TASK, Release},
    service::Service,
};

/// For one compensation, with what is recorded of it.
pub(crate) const TIME: Duration = Duration::from_secs(5);

/// The same request with time of its own.
pub(crate) fn own_time(ctx: &RequestContext) -> RequestContext {
    ctx.with_deadline(Deadline::after(TIME))
}

impl Service {
    /// Gives back what is set aside for a failed order.
    pub(crate) async fn release(&self, ctx: &RequestContext, order: OrderId) {
        let (service, own) = (self.clone(), own_time(ctx));
        let section = async move {
            let released = service.try_release(&own, order).await;
            left_due(&own, order, RELEASE_TASK, released);
        };
        wait(ctx, self.tasks.finish(RELEASE_TASK, section)).await;
    }

    async fn try_release(&self, ctx: &RequestContext, order: OrderId) -> Result<()> {
        let answer = self.peers.release(ctx, order).await?;
        crash_point("orders.release.after");
        match answer {
            Release::Released => self.store.released(order, ctx.deadline()).await,
            Release::Committed => {
                let reason = "sold what was never paid for";
                Err(Error::contract(INVENTORY.name, reason))
            }
        }
    }

    /// Gives back the money of a cancelled order.
    pub(crate) async fn refund(&self, ctx: &RequestContext, order: OrderId, charge_key: &str) {
        let (service, own) = (self.clone(), own_time(ctx));
        let key = charge_key.to_owned();
        let section = async move {
            let refunded = service.try_refund(&own, order, &key).await;
            left_due(&own, order, "refund", refunded);
        };
        wait(ctx, self.tasks.finish("refund", section)).await;
    }

    async fn try_refund(&self, ctx: &RequestContext, order: OrderId, key: &str) -> Result<()> {
        self.peers.refund(ctx, key).await?;
        crash_point("orders.refund.after");
        self.store.refunded(order, ctx.deadline()).await
    }
}

fn left_due(ctx: &RequestContext, order: OrderId, what: &'static str, done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(
            %order,
            trace_id = %ctx.trace_id(),
            request_id = %ctx.request_id(),
            %error,
            "a {what} stays due"
        );
    }
}

/// Waits as long as the request can and still answer in time.
async fn wait(ctx: &RequestContext, section: Section<()>) {
    let until = ctx.deadline().outbound(Duration::MAX).instant();
    let _ = tokio::time::timeout_at(until, section).await;
}
