//! A consumer, as the driver of its process sees it: its lease, and what it takes.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::SqliteConnection;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use super::{
    Lease, Ticket,
    commands::{Command, How},
    statements::{self, Ready},
};
use crate::{
    consumer::{Hand, Registration},
    delivery::{self, Received},
};

pub(super) struct Hold {
    prefetch: usize,
    hand: Hand,
    /// None until the next turn makes one.
    lease: Option<Arc<Lease>>,
    /// None once it was stopped.
    deliveries: Option<mpsc::UnboundedSender<Received>>,
    stop: BoxFuture<'static, ()>,
    gone: oneshot::Receiver<()>,
    is_gone: bool,
}

/// Ways out of the driver that what is taken needs.
#[derive(Debug, Clone)]
pub(super) struct Wires {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) freed: Arc<Notify>,
}

/// What was taken in a transaction that is not committed yet.
pub(super) type Taken = (mpsc::UnboundedSender<Received>, Received);

impl Hold {
    pub(super) fn new(registration: Registration) -> Self {
        let Registration {
            prefetch,
            deliveries,
            stop,
            gone,
        } = registration;
        Self {
            prefetch: prefetch.into(),
            hand: Hand::default(),
            lease: None,
            deliveries: Some(deliveries),
            stop,
            gone,
            is_gone: false,
        }
    }

    /// The connection was lost, or the file is a new one: what was in hand is not ours any more.
    pub(super) fn lose(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.lost.store(true, Ordering::Release);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.deliveries.is_some() && !self.is_gone && self.hand.len() < self.prefetch
    }

    /// Nobody will ever ask for anything.
    pub(super) fn is_over(&self) -> bool {
        self.is_gone && self.lease.is_none()
    }

    /// It needs a lease, or has one that it does not need any more.
    pub(super) fn has_news(&self) -> bool {
        match self.lease {
            Some(_) => self.is_done(),
            None => self.has_room(),
        }
    }

    fn is_done(&self) -> bool {
        self.is_gone || (self.deliveries.is_none() && self.hand.len() == 0)
    }

    /// Notes that it was stopped or dropped; ready when one of them is news.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut change = Poll::Pending;
        if self.deliveries.is_some() && self.stop.poll_unpin(cx).is_ready() {
            self.deliveries = None;
            change = Poll::Ready(());
        }
        if !self.is_gone && Pin::new(&mut self.gone).poll_unpin(cx).is_ready() {
            self.is_gone = true;
            self.deliveries = None;
            change = Poll::Ready(());
        }
        change
    }

    /// Keeps its lease, or gets a new one when another process took it for dead; gives it up when it is gone.
    pub(super) async fn renew(
        &mut self,
        connection: &mut SqliteConnection,
        now: i64,
        alive_until: i64,
    ) -> Result<(), sqlx::Error> {
        if self.is_done() {
            return self.leave(connection, now).await;
        }
        if let Some(lease) = &self.lease {
            if statements::renew(connection, &lease.id, alive_until).await? {
                return Ok(());
            }
            tracing::warn!(
                "another process took this consumer for dead, what it had in hand comes back"
            );
            self.lose();
        }
        if self.has_room() {
            let lease = Lease {
                id: Uuid::new_v4().to_string(),
                lost: AtomicBool::new(false),
            };
            statements::register(connection, &lease.id, alive_until).await?;
            self.lease = Some(Arc::new(lease));
        }
        Ok(())
    }

    /// Gives back what is in hand.
    pub(super) async fn leave(
        &mut self,
        connection: &mut SqliteConnection,
        now: i64,
    ) -> Result<(), sqlx::Error> {
        if let Some(lease) = &self.lease {
            statements::leave(connection, &lease.id, now).await?;
        }
        self.lose();
        Ok(())
    }

    /// Takes a fair share of what is there, as far as there is room.
    pub(super) async fn take(
        &mut self,
        connection: &mut SqliteConnection,
        wires: &Wires,
        now: i64,
    ) -> Result<Vec<Taken>, sqlx::Error> {
        let (Some(deliveries), Some(lease)) = (&self.deliveries, &self.lease) else {
            return Ok(Vec::new());
        };
        let room = self.prefetch.saturating_sub(self.hand.len());
        let consumers = statements::holders(connection).await?.max(1);
        let ready = statements::ready(connection, room.saturating_mul(consumers)).await?;
        let share = ready.len().div_ceil(consumers).min(room);
        let mut taken = Vec::with_capacity(share);
        for message in ready.into_iter().take(share) {
            statements::take(connection, message.seq, &lease.id).await?;
            if self.hand.spares(message.returns) {
                let key = (message.seq, lease.id.as_str());
                statements::settle(connection, key, &How::Released, now).await?;
            } else {
                taken.push((deliveries.clone(), self.receive(message, lease, wires)));
            }
        }
        Ok(taken)
    }

    fn receive(&self, message: Ready, lease: &Arc<Lease>, wires: &Wires) -> Received {
        let freed = Some(Arc::clone(&wires.freed));
        Received {
            _slot: self.hand.take(message.returns, freed),
            id: message.id,
            body: message.body,
            headers: message.headers,
            returns: message.returns,
            since: Instant::now(),
            ticket: delivery::Ticket::Sqlite(Ticket {
                seq: message.seq,
                lease: Arc::clone(lease),
                commands: wires.commands.clone(),
            }),
            settled: false,
        }
    }
}
