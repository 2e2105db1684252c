//! Works on messages, one at a time.
//!
//! ```text
//!  fulfilled, or cancelled meanwhile  ─► ack
//!  malformed, or refused for good     ─► dead letter
//!  a peer is away                     ─► hold; pause and try again, until it is back   ┐ the process stops: release,
//!  a peer answers with its own fault  ─► as well, but only a few times: then dead letter ┘ and all others in hand too
//! ```
//!
//! While a message is held none is taken, so that an outage uses up no deliveries, however long it lasts.

use std::{ops::ControlFlow, time::Duration};

use mesh_chassis::{Shutdown, crash_point};
use mesh_context::RequestContext;
use mesh_messaging::{Consumer, Delivery, Message, topology::ROUTING_KEY};
use tokio::time::{Instant, sleep};

use crate::{
    error::Error,
    peers::{Commit, Peers},
};

/// Pauses between the tries of one message: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// So many faults of a peer, 1.5 s in all, and the message waits for a human.
const MOST_FAULTS: u32 = 5;

/// The one worker of a process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) consumer: Consumer,
    pub(crate) peers: Peers,
    pub(crate) work_time: Duration,
    /// For one try.
    pub(crate) limit: Duration,
    pub(crate) shutdown: Shutdown,
}

/// How work on a message ended.
#[derive(Debug)]
enum End {
    Fulfilled,
    /// The customer was faster: nothing was sold.
    Cancelled,
    /// It can never be fulfilled.
    Dead(String),
    /// It cannot be fulfilled now.
    Release,
}

impl Worker {
    /// Works until the process drains and nothing is left in hand.
    pub(crate) async fn run(mut self) {
        let cut = self.shutdown.cut();
        tokio::pin!(cut);
        while let Some(delivery) = self.consumer.next().await {
            let id = delivery.id().to_owned();
            let more = tokio::select! {
                more = self.work_on(delivery) => more,
                () = &mut cut => {
                    log_cut(&id);
                    return self.give_back_all();
                }
            };
            if more.is_break() {
                return self.release_all().await;
            }
        }
    }

    /// Breaks when the rest would only fail as well, and there is no time to wait.
    async fn work_on(&self, mut delivery: Delivery) -> ControlFlow<()> {
        let started = Instant::now();
        let (id, attempt) = (delivery.id().to_owned(), delivery.attempt());
        let ctx = delivery.context(self.limit);
        let end = match delivery.message() {
            Ok(message) if message.kind == ROUTING_KEY => {
                self.fulfil(&mut delivery, &message, ctx.clone()).await
            }
            Ok(message) => End::Dead(format!("unknown type {:?}", message.kind)),
            Err(malformed) => End::Dead(malformed.to_string()),
        };
        let (outcome, settled) = match end {
            End::Fulfilled => {
                crash_point("fulfillment.ack.before");
                let acked = delivery.ack().await;
                crash_point("fulfillment.ack.after");
                ("fulfilled", acked)
            }
            End::Cancelled => ("cancelled", delivery.ack().await),
            End::Dead(reason) => ("dead letter", delivery.dead_letter(reason).await),
            End::Release => ("released", delivery.release().await),
        };
        tracing::info!(
            trace_id = %ctx.trace_id(),
            span_id = %ctx.span_id(),
            request_id = %ctx.request_id(),
            message_id = id,
            attempt,
            outcome,
            duration = started.elapsed().as_secs_f64(),
            error = settled.as_ref().err().map(tracing::field::display),
            "message"
        );
        let stopped = outcome == "released" && self.shutdown.is_draining();
        if stopped {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Tries until it is known what becomes of the message.
    async fn fulfil(
        &self,
        delivery: &mut Delivery,
        message: &Message,
        mut ctx: RequestContext,
    ) -> End {
        let (mut pause, longest) = PAUSES;
        let mut faults = 0;
        crash_point("fulfillment.work.before");
        sleep(self.work_time).await;
        loop {
            let error = match self.try_once(&ctx, message).await {
                Ok(Commit::Sold) => return End::Fulfilled,
                Ok(Commit::Released) => return End::Cancelled,
                Err(Error::Refused(error)) => return End::Dead(error.to_string()),
                Err(Error::Fault(error)) => {
                    faults += 1;
                    if faults == MOST_FAULTS {
                        return End::Dead(error.to_string());
                    }
                    error
                }
                Err(Error::Away(error)) => error,
            };
            let (trace_id, message_id) = (ctx.trace_id(), &message.id);
            tracing::warn!(%trace_id, message_id, %error, "held, trying again in {pause:?}");
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shutdown.draining() => return End::Release,
            }
            if delivery.held_too_long() {
                return End::Release;
            }
            pause = (pause * 2).min(longest);
            ctx = delivery.context(self.limit);
        }
    }

    async fn try_once(&self, ctx: &RequestContext, message: &Message) -> Result<Commit, Error> {
        crash_point("fulfillment.commit.before");
        let commit = self.peers.commit(ctx, message).await?;
        crash_point("fulfillment.commit.after");
        if commit == Commit::Sold {
            self.peers.mark_fulfilled(ctx, message).await?;
        }
        Ok(commit)
    }

    /// Without the time to do so at no price.
    fn give_back_all(&mut self) {
        while let Some(delivery) = self.consumer.next_in_hand() {
            log_cut(delivery.id());
        }
    }

    /// Gives back what is in hand, at no price.
    async fn release_all(&mut self) {
        while let Some(delivery) = self.consumer.next().await {
            let id = delivery.id().to_owned();
            if let Err(error) = delivery.release().await {
                tracing::warn!(message_id = id, %error, "cannot be released, it comes back at the price of a delivery");
            }
        }
    }
}

fn log_cut(message_id: &str) {
    tracing::warn!(message_id, "cut, it comes again");
}
