//! Takes messages from the queue, so many at a time, and hands them out one by one.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    Delivery, Error, Queue,
    delivery::{Received, Settle},
};

/// Nobody should hold a message longer than this: [`Delivery::held_too_long`] says so. Brokers take a consumer that holds
/// one for 30 minutes for hung, and give its messages back at the price of a delivery each.
pub const HOLD_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The stream of deliveries of one worker.
///
/// It goes on by itself when the queue comes back. Dropped, it gives back what is in hand, which counts as a delivery for
/// each message; to stop without that price end its `stop`, then settle what [`next`](Consumer::next) still hands out.
#[derive(Debug)]
pub struct Consumer {
    queue: Queue,
    deliveries: mpsc::UnboundedReceiver<Received>,
    /// Tells the driver when we are dropped.
    _here: oneshot::Sender<()>,
}

/// A consumer as the driver sees it.
pub(crate) struct Registration {
    pub(crate) prefetch: u16,
    pub(crate) deliveries: mpsc::UnboundedSender<Received>,
    pub(crate) stop: BoxFuture<'static, ()>,
    /// Ends when the consumer was dropped.
    pub(crate) gone: oneshot::Receiver<()>,
}

impl Consumer {
    pub(crate) fn new(
        queue: Queue,
        prefetch: u16,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> (Self, Registration) {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let (here, gone) = oneshot::channel();
        let registration = Registration {
            prefetch,
            deliveries: sender,
            stop: stop.boxed(),
            gone,
        };
        let consumer = Self {
            queue,
            deliveries,
            _here: here,
        };
        (consumer, registration)
    }

    /// The next message; `None` once this consumer was stopped and everything it had in hand was handed out.
    ///
    /// Waits while the queue is empty or away. May be dropped while it waits; nothing is lost by that.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let received = self.deliveries.recv().await?;
            if !received.is_ours() {
                // Its connection is gone: it comes again through the next one.
                continue;
            }
            if received.since.elapsed() < HOLD_LIMIT {
                return Some(self.queue.delivery(received));
            }
            // It waited here while the worker held the one before it.
            if let Err(error) = received.settle(Settle::Release).await {
                log_given_back(&error);
            }
        }
    }

    /// The next of those in hand, if there is one: for a worker that is cut off and has no time to wait.
    pub fn next_in_hand(&mut self) -> Option<Delivery> {
        let ours = |received: &Received| received.is_ours();
        let mut in_hand = std::iter::from_fn(|| self.deliveries.try_recv().ok());
        in_hand
            .find(ours)
            .map(|received| self.queue.delivery(received))
    }
}

fn log_given_back(error: &Error) {
    tracing::warn!(%error, "a message that was held too long could not be released, it costs a delivery");
}

/// What one consumer has in hand, unsettled.
///
/// When a worker dies, all it has in hand comes back, one delivery poorer: also the messages that only waited behind the
/// one that killed it. So that those do not run out of deliveries together with it, at most one message that has come
/// back is in hand at a time; another one is *spared*: it goes to the end of the queue, as new. A message that has come
/// back more than [`SPARED_UP_TO`] times is never spared, or two that kill their worker could spare each other for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hand(Arc<InHand>);

#[derive(Debug, Default)]
struct InHand {
    messages: AtomicUsize,
    suspects: AtomicUsize,
}

const SPARED_UP_TO: u32 = 2;

/// One message's place in the hand.
#[derive(Debug)]
pub(crate) struct Slot {
    hand: Hand,
    suspect: bool,
    freed: Option<Arc<Notify>>,
}

impl Hand {
    pub(crate) fn len(&self) -> usize {
        self.0.messages.load(Ordering::Acquire)
    }

    /// Whether a message that has come back so often must not join what is in hand.
    pub(crate) fn spares(&self, returns: u32) -> bool {
        (1..=SPARED_UP_TO).contains(&returns) && self.0.suspects.load(Ordering::Acquire) > 0
    }

    /// `freed` is notified when the place is free again.
    pub(crate) fn take(&self, returns: u32, freed: Option<Arc<Notify>>) -> Slot {
        let suspect = returns > 0;
        self.0.messages.fetch_add(1, Ordering::AcqRel);
        if suspect {
            self.0.suspects.fetch_add(1, Ordering::AcqRel);
        }
        Slot {
            hand: self.clone(),
            suspect,
            freed,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let hand = &self.hand.0;
        hand.messages.fetch_sub(1, Ordering::AcqRel);
        if self.suspect {
            hand.suspects.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(freed) = &self.freed {
            freed.notify_one();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::{
        Headers, delivery, sqlite,
        testing::{Place, opened},
    };

    fn received(id: &str, ticket: sqlite::Ticket) -> Received {
        Received {
            id: id.to_owned(),
            body: Vec::new(),
            headers: Headers::default(),
            returns: 0,
            since: Instant::now(),
            ticket: delivery::Ticket::Sqlite(ticket),
            _slot: Hand::default().take(0, None),
            settled: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_too_long_behind_another_is_released_and_not_handed_out() {
        let (queue, ..) = opened(&Place::file().config());
        let (mut consumer, registration) = Consumer::new(queue, 10, std::future::pending());
        let (ticket, mut settled) = sqlite::Ticket::for_test();
        registration
            .deliveries
            .send(received("old", ticket))
            .unwrap();
        advance(HOLD_LIMIT).await;
        let (ticket, _) = sqlite::Ticket::for_test();
        registration
            .deliveries
            .send(received("new", ticket))
            .unwrap();
        let (delivery, released) = tokio::join!(consumer.next(), settled.next_release());
        assert!(released);
        let delivery = delivery.unwrap();
        assert_eq!(delivery.id(), "new");
        assert!(!delivery.held_too_long());
        advance(HOLD_LIMIT).await;
        assert!(delivery.held_too_long());
    }

    #[test]
    fn at_most_one_message_that_came_back_is_in_hand_unless_it_came_back_often() {
        let hand = Hand::default();
        assert!(!hand.spares(1), "nothing else is in hand");
        let fresh = hand.take(0, None);
        assert!(!hand.spares(1), "nothing that came back is in hand");
        let suspect = hand.take(1, None);
        assert!(hand.spares(1) && hand.spares(2));
        assert!(!hand.spares(0) && !hand.spares(3));
        assert_eq!(hand.len(), 2);
        drop(suspect);
        assert!(!hand.spares(1));
        drop(fresh);
        assert_eq!(hand.len(), 0);
    }
}
