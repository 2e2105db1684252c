//! The only way one service sends work to another: RabbitMQ, or a file when there is no broker.
//!
//! ```text
//!  Queue::publish ──► confirmed? ──► queue fulfillment ──► Consumer::next ──► Delivery ─┬ ack          done
//!     mandatory         else it        at most 6 deliveries    prefetch in hand         ├ dead_letter  never works
//!     headers in        failed                 │               held: in nobody          ├ release      not now
//!     the message                              ▼               else's hand              └ drop, crash  comes back
//!                                    queue fulfillment.dead ──► Queue::replay ──► publish, confirmed, then removed
//!
//!  Driver::run keeps the connections up for ever; while they are away publishing fails at once and consumers wait
//! ```
//!
//! Both back ends mean the same: at least once, nothing in two hands at a time, and what kills its worker ends as a dead
//! letter. A message may arrive twice; what it causes is keyed by its id. `amqp://` uses one connection to publish and one
//! for each consumer, because a broker short of memory stops reading from those that publish, and must still get acks.
//! `sqlite://` is a file that processes share and look at (every 10 ms while there is work, else every 100 ms); a consumer
//! that has not renewed its lease for 5 s is taken for dead.
//!
//! ```
//! use std::time::Duration;
//! use mesh_context::{Policy, RequestContext};
//! use mesh_messaging::{Consumer, Headers, Message, Queue};
//!
//! async fn publish(queue: &Queue, message: &Message, context: &RequestContext) -> Result<(), mesh_messaging::Error> {
//!     queue.publish(message, &Headers::of(context)).await // or Headers::from_json(&row.trace_headers)
//! }
//!
//! async fn work(mut consumer: Consumer) -> Result<(), mesh_messaging::Error> {
//!     while let Some(mut delivery) = consumer.next().await {
//!         let context = delivery.context(Duration::from_secs(30));
//!         match delivery.message() {
//!             Ok(message) => {
//!                 println!("{} {}: {}", context.trace_id(), message.kind, message.order_id);
//!                 delivery.ack().await?;
//!             }
//!             Err(malformed) => delivery.dead_letter(malformed.to_string()).await?,
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod amqp;
mod config;
mod consumer;
mod dead;
mod delivery;
mod error;
mod headers;
mod link;
mod message;
mod metrics;
mod queue;
mod span;
mod sqlite;
#[doc(hidden)]
pub mod testing;
pub mod topology;

pub use config::{ConsumerConfig, QueueConfig};
pub use consumer::{Consumer, HOLD_LIMIT};
pub use dead::{DeadLetter, Depth, Replay};
pub use delivery::Delivery;
pub use error::Error;
pub use headers::Headers;
pub use message::{MalformedMessage, Message};
pub use queue::{Driver, Queue};
