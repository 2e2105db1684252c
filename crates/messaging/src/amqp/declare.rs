//! Declares what is used. Declaring it again changes nothing; what is there with other properties is reported.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::connection::answer;
use crate::topology::{DEAD_EXCHANGE, DEAD_QUEUE, DELIVERY_LIMIT, EXCHANGE, QUEUE, ROUTING_KEY};

pub(super) async fn declare(channel: &Channel) -> Result<(), String> {
    let declare = async {
        exchange(channel, DEAD_EXCHANGE, ExchangeKind::Fanout).await?;
        queue(channel, DEAD_QUEUE, &[]).await?;
        bind(channel, DEAD_QUEUE, DEAD_EXCHANGE).await?;
        exchange(channel, EXCHANGE, ExchangeKind::Direct).await?;
        queue(channel, QUEUE, &work_arguments()).await?;
        bind(channel, QUEUE, EXCHANGE).await
    };
    answer(declare)
        .await
        .map_err(|error| explain(&error.to_string()))
}

/// At-least-once dead-lettering needs `reject-publish`; without it the broker falls back to at-most-once and says nothing.
fn work_arguments() -> [(&'static str, AMQPValue); 4] {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let limit = i64::from(DELIVERY_LIMIT);
    [
        ("x-delivery-limit", AMQPValue::LongLongInt(limit)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text(DEAD_EXCHANGE)),
        ("x-dead-letter-strategy", text("at-least-once")),
    ]
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: &[(&str, AMQPValue)],
) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    let kind = AMQPValue::LongString("quorum".into());
    table.insert("x-queue-type".into(), kind);
    for (argument, value) in arguments {
        table.insert((*argument).into(), value.clone());
    }
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), table)
        .await
        .map(drop)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            ROUTING_KEY.into(),
            options,
            FieldTable::default(),
        )
        .await
}

/// Of a mismatch: what differs, and what to do. The broker says
/// `inequivalent arg 'x-overflow' for queue 'fulfillment' in vhost 'mesh': received … but current is …`.
fn explain(error: &str) -> String {
    mismatch(error).unwrap_or_else(|| error.to_owned())
}

fn mismatch(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once("' for ")?;
    let (what, rest) = rest.split_once(" '")?;
    let (name, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("received ")?;
    let (ours, theirs) = rest.split_once(" but current is ")?;
    Some(format!(
        "{what} {name} is there with another {argument}: it has {theirs}, we need {ours}; \
         delete it (a queue once it is empty), and it is declared anew"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mismatch_is_said_as_it_is() {
        assert_eq!(explain("connection refused"), "connection refused");
    }
}
