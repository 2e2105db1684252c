//! One message in hand: what it says, the context to work on it in, and the ways to settle it.

use std::{fmt, sync::Arc, time::Duration};

use mesh_context::{Deadline, Policy, RequestContext, accept};
use tokio::time::Instant;

use crate::{
    Error, HOLD_LIMIT, Headers, MalformedMessage, Message, amqp,
    consumer::Slot,
    metrics::{Metrics, Outcome},
    span::OpenSpan,
    sqlite,
};

/// Bytes of a reason. It travels in one frame, and may quote what a stranger wrote.
const LONGEST_REASON: usize = 1_000;

/// A message in hand. It stays unsettled, and in nobody else's hand, for as long as it is held.
///
/// | to settle it | what happens | deliveries used up |
/// |---|---|---|
/// | [`ack`](Delivery::ack) | it is done | – |
/// | [`dead_letter`](Delivery::dead_letter) | it goes to the dead letters, with the reason | – |
/// | [`release`](Delivery::release) | it goes to the end of the queue, as if it had just been published | none, and earlier ones are forgotten |
/// | drop | it comes back to the head of the queue | one |
/// | the worker dies, or its connection does | as drop, for everything in hand | one each |
///
/// The limit on deliveries is for messages that kill their worker. While a peer is away, hold the message and take no
/// other; that costs nothing, however long it lasts (see [`held_too_long`](Delivery::held_too_long)).
#[derive(Debug)]
pub struct Delivery {
    received: Received,
    record: Record,
}

/// A message as a back end hands it over.
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Headers,
    /// So often it has come back.
    pub(crate) returns: u32,
    /// When it came into our hand.
    pub(crate) since: Instant,
    pub(crate) ticket: Ticket,
    pub(crate) _slot: Slot,
    pub(crate) settled: bool,
}

/// The right to settle one delivery.
#[derive(Debug)]
pub(crate) enum Ticket {
    Amqp(Box<amqp::Ticket>),
    Sqlite(sqlite::Ticket),
}

/// How a delivery is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settle {
    Ack,
    DeadLetter(String),
    Release,
}

impl Delivery {
    pub(crate) fn new(
        received: Received,
        policy: &Policy,
        metrics: &Arc<Metrics>,
        system: &'static str,
    ) -> Self {
        let record = Record {
            metrics: Arc::clone(metrics),
            policy: policy.clone(),
            system,
            started: Instant::now(),
            attempt: received.returns + 1,
            context: None,
            span: None,
            outcome: Outcome::Lost,
            error: Some("not settled".to_owned()),
        };
        Self { received, record }
    }

    /// The message's id; of a body that states none, a name made from it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.received.id
    }

    /// What it says.
    ///
    /// # Errors
    /// The body is no message, and never will be: for [`dead_letter`](Delivery::dead_letter).
    pub fn message(&self) -> Result<Message, MalformedMessage> {
        Message::parse(&self.received.body)
    }

    /// As it was published.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.received.body
    }

    /// 1 at the first delivery.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.record.attempt
    }

    /// The context for work on it, with a deadline `limit` from now. Ask again for each further try: the trace, the
    /// request id and the span stay, the deadline is new.
    ///
    /// The trace is the publisher's. This process's span is linked with the one that published the message, and at the
    /// first attempt also its child; it ends when the message is settled.
    pub fn context(&mut self, limit: Duration) -> RequestContext {
        let deadline = Deadline::after(limit);
        if let Some(context) = &self.record.context {
            return context.with_deadline(deadline);
        }
        let accepted = accept(self.received.headers.as_map(), &self.record.policy);
        let context = accepted.context.with_deadline(deadline);
        self.record.span = OpenSpan::start(&context, self.record.system, &self.received.id);
        self.record.context = Some(context.clone());
        context
    }

    /// Held for so long that it should be released before a broker takes us for hung. [`release`](Delivery::release) is
    /// free, so an outage of any length uses up no deliveries.
    #[must_use]
    pub fn held_too_long(&self) -> bool {
        self.received.since.elapsed() >= HOLD_LIMIT
    }

    /// Its work is done, and what it caused is committed.
    ///
    /// # Errors
    /// The delivery was not ours any more: it comes again, and must then change nothing.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle(Settle::Ack).await
    }

    /// It can never be worked on. Goes to the dead letters at once, with the beginning of the reason.
    ///
    /// # Errors
    /// It did not get there: it comes again.
    pub async fn dead_letter(mut self, reason: impl Into<String>) -> Result<(), Error> {
        let reason = shortened(reason.into());
        tracing::warn!(message_id = %self.received.id, %reason, "dead letter");
        self.record.error = Some(reason.clone());
        self.settle(Settle::DeadLetter(reason)).await
    }

    /// It cannot be worked on now, which is not its fault. For a worker that stops while a peer is away.
    ///
    /// # Errors
    /// It could not be put at the end of the queue: it comes back to its head, at the price of a delivery.
    pub async fn release(self) -> Result<(), Error> {
        self.settle(Settle::Release).await
    }

    async fn settle(self, how: Settle) -> Result<(), Error> {
        let Self {
            received,
            mut record,
        } = self;
        let outcome = match &how {
            Settle::Ack => Outcome::Acked,
            Settle::DeadLetter(_) => Outcome::DeadLettered,
            Settle::Release => Outcome::Released,
        };
        let result = received.settle(how).await;
        match &result {
            Ok(()) => record.end(outcome),
            Err(error) => record.error = Some(error.to_string()),
        }
        result
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > LONGEST_REASON {
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        reason.push('…');
    }
    reason
}

impl Received {
    pub(crate) fn is_ours(&self) -> bool {
        match &self.ticket {
            Ticket::Amqp(ticket) => ticket.is_ours(),
            Ticket::Sqlite(ticket) => ticket.is_ours(),
        }
    }

    pub(crate) async fn settle(mut self, how: Settle) -> Result<(), Error> {
        match &self.ticket {
            Ticket::Amqp(ticket) => ticket.settle(how, &self.body).await?,
            Ticket::Sqlite(ticket) => ticket.settle(how).await?,
        }
        self.settled = true;
        Ok(())
    }
}

/// What was not settled comes back now, not only when this process ends.
impl Drop for Received {
    fn drop(&mut self) {
        if !self.settled {
            match &self.ticket {
                Ticket::Amqp(ticket) => ticket.give_back(),
                Ticket::Sqlite(ticket) => ticket.give_back(),
            }
        }
    }
}

/// What is known of a delivery when it has ended.
#[derive(Debug)]
struct Record {
    metrics: Arc<Metrics>,
    policy: Policy,
    system: &'static str,
    started: Instant,
    attempt: u32,
    context: Option<RequestContext>,
    span: Option<OpenSpan>,
    outcome: Outcome,
    error: Option<String>,
}

impl Record {
    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if matches!(outcome, Outcome::Acked | Outcome::Released) {
            self.error = None;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.consumed(self.outcome).inc();
        let time = self.started.elapsed().as_secs_f64();
        self.metrics.duration.observe(time);
        if let Some(span) = self.span.take() {
            span.processed(self.attempt, self.error.take());
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("returns", &self.returns)
            .field("settled", &self.settled)
            .finish_non_exhaustive()
    }
}
