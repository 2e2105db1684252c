//! Messages, recorded in the transaction of what they tell of; a relay publishes them.

use std::collections::BTreeMap;

use http::HeaderMap;
use mesh_context::RequestContext;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{clock::Timestamp, order::OrderId};

const CONFIRMED: &str = "order.confirmed";

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

#[derive(Serialize)]
struct Payload<'a> {
    id: &'a str,
    r#type: &'static str,
    order_id: OrderId,
    /// RFC 3339, UTC.
    occurred_at: String,
}

impl Message {
    /// Tells that an order was confirmed.
    pub(crate) fn confirmed(order: OrderId, ctx: &RequestContext, now: Timestamp) -> Self {
        let id = Uuid::new_v4().to_string();
        let payload = Payload {
            id: &id,
            r#type: CONFIRMED,
            order_id: order,
            occurred_at: rfc3339(now),
        };
        let payload = serde_json::to_string(&payload).expect("texts are JSON");
        Self {
            kind: CONFIRMED,
            order,
            payload,
            trace_headers: trace_headers(ctx),
            created_at: now,
            id,
        }
    }
}

/// What travels with the request, as a JSON object of header names and values.
pub(crate) fn trace_headers(ctx: &RequestContext) -> String {
    let mut headers = HeaderMap::new();
    ctx.write_headers(&mut headers, ctx.span_id());
    let text: BTreeMap<&str, &str> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    serde_json::to_string(&text).expect("texts are JSON")
}

fn rfc3339(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .expect("a clock shows a year of four digits")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
