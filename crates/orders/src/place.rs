//! Placing an order: reserve, charge, confirm.
//!
//! ```text
//!  claim the key ─► reserve ─► record prices ─► charge ─► record the outcome, the answer and the message
//!       │             │                           │
//!       │             │ out of stock              │ declined: record, then release
//!       │             │ unknown sku: forget all   │ unknown token: record, release, forget all
//!       │             └ error: unlock the key     │ outcome unknown: record, unlock the key, answer "pending"
//!       │                                         └ not begun: unlock the key, error
//!       └ final: the stored answer    held: in progress    resumed: from the recorded step,
//!                                                          asking payments before charging again
//! ```
//!
//! A charge goes out under a key of the order's own, so that it can be sent again without taking money twice.

use std::time::Duration;

use mesh_chassis::crash_point;
use mesh_client::Kind;
use mesh_context::{Deadline, RequestContext};
use tonic::Code;

use crate::{
    charge::Payment,
    error::{Error, Result},
    hold::{Hold, Lease},
    order::{Event, PricedLine, Record, Step},
    outbox::{Message, trace_headers},
    peers::{INVENTORY, Reservation},
    placement::{Answer, Malformed, Outcome, Placement},
    service::Service,
    store::{Claim, KeyChange},
};

/// For recording how an attempt ended: it is known, whether or not the caller still waits.
const RECORDING: Duration = Duration::from_secs(3);

/// An answer, and whether it was recorded by an earlier call.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) answer: Answer,
    pub(crate) replayed: bool,
}

/// One go at placing an order.
#[derive(Debug)]
struct Attempt {
    hold: Hold,
    record: Record,
}

/// Ends that are final.
enum End {
    Confirmed,
    Declined,
    OutOfStock(Vec<String>),
}

impl Service {
    /// Places an order, or says what became of the one that was placed under the same key.
    pub(crate) async fn place(
        &self,
        ctx: &RequestContext,
        placement: &Placement,
    ) -> Result<Placed> {
        placement.check_name()?;
        let hold = Hold::new(&placement.key, self.store.clone(), self.tasks.clone());
        let placed = self.attempt(ctx, &hold, placement).await;
        // A store that is away is not waited for: then the key is unlocked when that can be done.
        if let Err(error) = &placed
            && !matches!(error, Error::Store(_))
        {
            hold.unlock(ctx.deadline().outbound(Duration::MAX)).await;
        }
        placed
    }

    async fn attempt(
        &self,
        ctx: &RequestContext,
        hold: &Hold,
        placement: &Placement,
    ) -> Result<Placed> {
        let now = self.clock.now();
        let begin = |id| {
            placement.check_request()?;
            Ok(Record::new(id, placement, trace_headers(ctx), now))
        };
        crash_point("orders.claim.before");
        let lease = hold.lease();
        let claim = self
            .store
            .claim(lease, placement, begin, now, ctx.deadline());
        let refused = match claim.await {
            Ok(Claim::Taken(record)) => {
                let hold = hold.clone();
                return self.go_on(ctx, Attempt { hold, record }).await;
            }
            Ok(Claim::Final(answer)) => Ok(Placed {
                answer,
                replayed: true,
            }),
            Ok(Claim::Held) => Err(Error::InProgress),
            Ok(Claim::OtherRequest) => Err(Error::KeyReused),
            Err(error @ Error::Store(_)) => return Err(error),
            Err(error) => Err(error),
        };
        hold.over();
        refused
    }

    async fn go_on(&self, ctx: &RequestContext, mut attempt: Attempt) -> Result<Placed> {
        match attempt.record.step {
            Step::Reserve => match self.reserve(ctx, &mut attempt).await? {
                Some(ended) => Ok(ended),
                None => self.charge(ctx, attempt).await,
            },
            Step::Charge | Step::Settle => self.ask(ctx, attempt).await,
            // Its charge is being voided: the reconciler brings it to its end.
            Step::Void => self.leave_open(ctx, &mut attempt, None).await,
            Step::Done => Err(Error::corrupt("a key", "open, but its order is done")),
        }
    }

    /// Sets the pieces aside; or ends the attempt when there are too few.
    async fn reserve(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<Option<Placed>> {
        let (order, lines) = (attempt.record.order.id, attempt.record.lines());
        crash_point("orders.reserve.before");
        let answer = self.peers.reserve(ctx, order, lines).await;
        crash_point("orders.reserve.after");
        match answer {
            Ok(Reservation::Reserved(lines)) => {
                self.reserved(ctx, attempt, &lines).await?;
                Ok(None)
            }
            Ok(Reservation::OutOfStock(skus, lines)) => {
                // An inventory of an earlier version does not say the prices.
                if !lines.is_empty() {
                    price(&mut attempt.record, &lines)?;
                }
                let ended = self.end(ctx, attempt, End::OutOfStock(skus)).await?;
                Ok(Some(ended))
            }
            Ok(Reservation::UnknownProduct(skus)) => {
                self.forget(attempt).await?;
                Err(Malformed::UnknownSkus(skus).into())
            }
            // Somebody gave this order up in the meantime. The next try begins a new one.
            Err(error) if error.kind == Kind::Refused(Code::FailedPrecondition) => {
                self.forget(attempt).await?;
                Err(Error::InProgress)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn reserved(
        &self,
        ctx: &RequestContext,
        attempt: &mut Attempt,
        lines: &[PricedLine],
    ) -> Result<()> {
        let Attempt { hold, record } = attempt;
        let now = self.clock.now();
        price(record, lines)?;
        record.apply(Event::Reserved, now)?;
        let key = KeyChange::Hold(Lease::until(now));
        let deadline = ctx.deadline();
        self.store
            .advance(hold.lease(), record, key, None, deadline)
            .await
    }

    async fn forget(&self, attempt: &Attempt) -> Result<()> {
        let (lease, order) = (attempt.hold.lease(), attempt.record.order.id);
        self.store
            .erase(lease, order, Deadline::after(RECORDING))
            .await?;
        attempt.hold.over();
        Ok(())
    }

    /// Takes the money. From sending the charge to its recorded outcome the work goes on, whoever has gone away.
    async fn charge(&self, ctx: &RequestContext, mut attempt: Attempt) -> Result<Placed> {
        let (service, ctx) = (self.clone(), ctx.clone());
        let section = async move {
            crash_point("orders.charge.before");
            let answer = service.peers.charge(&ctx, &attempt.record).await;
            crash_point("orders.charge.after");
            let payment = Payment::of_charge(answer);
            service.settle(&ctx, &mut attempt, payment).await
        };
        self.tasks.finish("charge", section).await
    }

    /// Goes on where an earlier attempt may have sent a charge.
    async fn ask(&self, ctx: &RequestContext, mut attempt: Attempt) -> Result<Placed> {
        let key = &attempt.record.charge_key;
        let answer = self.peers.get_charge(ctx, key).await;
        crash_point("orders.get_charge.after");
        let payment = match answer {
            Ok(state) => Payment::of_record(state),
            Err(error) if attempt.record.step == Step::Settle => {
                Some(Payment::Unknown(Some(error)))
            }
            Err(error) => return Err(error.into()),
        };
        match payment {
            Some(payment) => self.settle(ctx, &mut attempt, payment).await,
            None => self.charge(ctx, attempt).await,
        }
    }

    /// Records what became of the payment.
    async fn settle(
        &self,
        ctx: &RequestContext,
        attempt: &mut Attempt,
        payment: Payment,
    ) -> Result<Placed> {
        let unknown_before = attempt.record.step == Step::Settle;
        match payment {
            Payment::Taken => self.end(ctx, attempt, End::Confirmed).await,
            Payment::Refused => self.end(ctx, attempt, End::Declined).await,
            Payment::TokenUnknown => {
                self.hide(ctx, attempt).await?;
                Err(Malformed::UnknownPaymentToken.into())
            }
            // An earlier charge may still be on its way.
            Payment::NotBegun(error) if unknown_before => {
                self.leave_open(ctx, attempt, Some(error)).await
            }
            Payment::NotBegun(error) => Err(error.into()),
            Payment::Unknown(error) => self.leave_open(ctx, attempt, error).await,
        }
    }

    /// Records a final answer together with the end of the order; then the stock of one that failed is released.
    async fn end(&self, ctx: &RequestContext, attempt: &mut Attempt, end: End) -> Result<Placed> {
        let Attempt { hold, record } = attempt;
        let now = self.clock.now();
        let (event, outcome, out_of_stock) = match end {
            End::Confirmed => (Event::Charged, Outcome::Confirmed, Vec::new()),
            End::Declined => (Event::Refused, Outcome::Declined, Vec::new()),
            End::OutOfStock(skus) => (Event::OutOfStock, Outcome::OutOfStock, skus),
        };
        record.apply(event, now)?;
        let answer = Answer {
            outcome,
            order: record.order.clone(),
            out_of_stock,
        };
        let message =
            (event == Event::Charged).then(|| Message::confirmed(record.order.id, ctx, now));
        let (key, deadline) = (KeyChange::Final(&answer), Deadline::after(RECORDING));
        self.store
            .advance(hold.lease(), record, key, message.as_ref(), deadline)
            .await?;
        hold.over();
        if record.release_due_at.is_some() {
            self.release(ctx, record.order.id).await;
        }
        Ok(Placed {
            answer,
            replayed: false,
        })
    }

    /// Ends an order that should never have begun: its key is free again, nobody sees it.
    async fn hide(&self, ctx: &RequestContext, attempt: &mut Attempt) -> Result<()> {
        let Attempt { hold, record } = attempt;
        record.apply(Event::TokenUnknown, self.clock.now())?;
        let (key, deadline) = (KeyChange::Remove, Deadline::after(RECORDING));
        self.store
            .advance(hold.lease(), record, key, None, deadline)
            .await?;
        hold.over();
        self.release(ctx, record.order.id).await;
        Ok(())
    }

    /// The outcome of the payment is not known: whoever comes next asks again.
    async fn leave_open(
        &self,
        ctx: &RequestContext,
        attempt: &mut Attempt,
        error: Option<mesh_client::Error>,
    ) -> Result<Placed> {
        let Attempt { hold, record } = attempt;
        tracing::warn!(
            order = %record.order.id,
            trace_id = %ctx.trace_id(),
            request_id = %ctx.request_id(),
            error = error.as_ref().map(tracing::field::display),
            "the outcome of a charge is not known"
        );
        record.apply(Event::OutcomeUnknown, self.clock.now())?;
        let (key, deadline) = (KeyChange::Unlock, Deadline::after(RECORDING));
        self.store
            .advance(hold.lease(), record, key, None, deadline)
            .await?;
        hold.over();
        let answer = Answer {
            outcome: Outcome::Pending,
            order: record.order.clone(),
            out_of_stock: Vec::new(),
        };
        Ok(Placed {
            answer,
            replayed: false,
        })
    }
}

fn price(record: &mut Record, lines: &[PricedLine]) -> Result<()> {
    let priced = record.price(lines);
    priced.map_err(|error| Error::contract(INVENTORY.name, error))
}
