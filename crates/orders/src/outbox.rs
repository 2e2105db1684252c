//! Messages, recorded in the transaction of what they tell of; a relay publishes them.

use mesh_context::RequestContext;
use mesh_messaging::{Headers, topology::ROUTING_KEY};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{clock::Timestamp, order::OrderId};

/// A row of the outbox.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    /// The routing key.
    pub(crate) kind: &'static str,
    pub(crate) order: OrderId,
    /// JSON.
    pub(crate) payload: String,
    /// JSON; the message belongs to the trace of the request that caused it.
    pub(crate) trace_headers: String,
    pub(crate) created_at: Timestamp,
}

impl Message {
    /// Tells that an order was confirmed.
    pub(crate) fn confirmed(order: OrderId, ctx: &RequestContext, now: Timestamp) -> Self {
        let message = mesh_messaging::Message {
            id: Uuid::new_v4().to_string(),
            kind: ROUTING_KEY.to_owned(),
            order_id: order.to_string(),
            occurred_at: time_of(now),
        };
        Self {
            kind: ROUTING_KEY,
            order,
            payload: String::from_utf8(message.to_json()).expect("JSON is UTF-8"),
            trace_headers: trace_headers(ctx),
            created_at: now,
            id: message.id,
        }
    }
}

/// What travels with the request, as a JSON object of header names and values.
pub(crate) fn trace_headers(ctx: &RequestContext) -> String {
    Headers::of(ctx).to_json()
}

fn time_of(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000)
        .expect("a clock shows a year of four digits")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use mesh_context::Policy;

    use super::*;

    #[tokio::test]
    async fn a_message_says_what_happened_and_carries_the_trace() {
        let limit = Duration::from_secs(1);
        let ctx = RequestContext::for_task("test", limit, &Policy::inside(limit));
        let order = OrderId::random();
        let message = Message::confirmed(order, &ctx, Timestamp(1_700_000_000_250_000));
        let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
        assert_eq!(
            payload,
            serde_json::json!({
                "id": message.id,
                "type": "order.confirmed",
                "order_id": order.to_string(),
                "occurred_at": "2023-11-14T22:13:20.25Z",
            })
        );
        let headers: BTreeMap<String, String> =
            serde_json::from_str(&message.trace_headers).unwrap();
        assert!(headers["traceparent"].contains(&ctx.trace_id().to_string()));
        assert_eq!(headers["x-request-id"], ctx.request_id().to_string());
    }
}
