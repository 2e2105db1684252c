//! What the queue promises: one test body for each promise, run on a file and on a real RabbitMQ.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod crash;
mod dead;
mod delivery;
mod file;
mod trace;

use mesh_messaging::{
    Consumer, Delivery, Depth, Queue,
    testing::{LIMIT, within},
};
use tokio::time::timeout;

async fn next(consumer: &mut Consumer) -> Delivery {
    within(consumer.next()).await.expect("it is not stopped")
}

/// The next so many, in hand.
async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(consumer).await);
    }
    taken
}

/// Waits until the queue is so full.
async fn becomes(queue: &Queue, ready: u64, dead: u64) {
    let wanted = Depth { ready, dead };
    let mut last = None;
    let reached = timeout(LIMIT, async {
        while last != Some(wanted) {
            last = queue.depth().await.ok();
            tokio::task::yield_now().await;
        }
    });
    if reached.await.is_err() {
        panic!("{last:?} never became {wanted:?}");
    }
}
