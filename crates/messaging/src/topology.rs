//! The names of what is made in the broker, and the limit on deliveries. Manifests name them too.
//!
//! ```text
//!  exchange shop ──order.confirmed──► queue fulfillment ──rejected, or delivered too often──► exchange shop.dead
//!  (direct)                           (quorum)                                                │ (fanout)
//!                                                                                             ▼
//!                                                                       queue fulfillment.dead (quorum)
//! ```

/// The exchange that messages are published to.
pub const EXCHANGE: &str = "shop";
/// The `type` of a message, and its routing key.
pub const ROUTING_KEY: &str = "order.confirmed";
/// The queue of work; also the label `queue` of the metrics.
pub const QUEUE: &str = "fulfillment";
/// Dead letters go through this exchange, whatever routing key they came with.
pub const DEAD_EXCHANGE: &str = "shop.dead";
/// The queue where dead letters wait for a human.
pub const DEAD_QUEUE: &str = "fulfillment.dead";
/// So often a message may come back before it is a dead letter: the delivery after that is its last.
pub const DELIVERY_LIMIT: u32 = 5;
