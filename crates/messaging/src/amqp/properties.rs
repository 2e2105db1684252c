//! What a message in the broker carries beside its body, and what the broker adds to it.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use time::OffsetDateTime;

use crate::{
    Error, Headers,
    dead::{TOO_OFTEN, name_of},
    message::stated_id,
    topology::DELIVERY_LIMIT,
};

const PERSISTENT: u8 = 2;
/// The broker counts here how often a message has come back.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The broker writes here why it gave a message up itself.
const DEATHS: &str = "x-death";
/// Ours: why we did.
const REASON: &str = "x-mesh-dead-reason";
/// Ours: and when, in seconds since 1970.
const DIED_AT: &str = "x-mesh-dead-at";
/// Ours: how often it had been delivered by then.
const DELIVERIES: &str = "x-mesh-dead-deliveries";

/// Properties of a message.
#[derive(Debug, Clone)]
pub(super) struct Properties(BasicProperties);

impl Properties {
    pub(super) fn new(id: &str, kind: &str, headers: &Headers) -> Result<Self, Error> {
        let short = |text: &str| {
            ShortString::try_new(text).map_err(|error| Error::Refused {
                reason: format!("{text:?}: {error}"),
            })
        };
        Ok(Self::build(Some(short(id)?), Some(short(kind)?), headers))
    }

    pub(super) fn received(properties: BasicProperties) -> Self {
        Self(properties)
    }

    /// What of them is the message's own: as it was published, with no trace of what it has been through.
    pub(super) fn fresh(&self) -> Self {
        let id = self.0.message_id().clone();
        let kind = self.0.kind().clone();
        Self::build(id, kind, &self.headers())
    }

    /// Fresh, with the reason of its death after so many deliveries.
    pub(super) fn dead(&self, reason: &str, deliveries: Option<u32>) -> Self {
        let mut table = self.fresh().table();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = seconds.unwrap_or_default().as_secs();
        table.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        table.insert(DIED_AT.into(), AMQPValue::Timestamp(seconds));
        if let Some(deliveries) = deliveries {
            table.insert(DELIVERIES.into(), AMQPValue::LongUInt(deliveries));
        }
        Self(self.fresh().0.with_headers(table))
    }

    fn build(id: Option<ShortString>, kind: Option<ShortString>, headers: &Headers) -> Self {
        let mut table = FieldTable::default();
        for (name, value) in headers.iter() {
            table.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_headers(table);
        if let Some(id) = id {
            properties = properties.with_message_id(id);
        }
        if let Some(kind) = kind {
            properties = properties.with_type(kind);
        }
        Self(properties)
    }

    /// The id of the message with that body.
    pub(super) fn id(&self, body: &[u8]) -> String {
        let stated = self.0.message_id().as_ref();
        stated
            .map(|id| id.as_str().to_owned())
            .filter(|id| !id.is_empty())
            .or_else(|| stated_id(body))
            .unwrap_or_else(|| name_of(body))
    }

    pub(super) fn headers(&self) -> Headers {
        let table = self.table();
        let pairs = table.inner().iter();
        Headers::collect(pairs.filter_map(|(name, value)| Some((name.as_str(), text(value)?))))
    }

    /// So often it has come back.
    pub(super) fn returns(&self) -> u32 {
        self.count(DELIVERY_COUNT).unwrap_or(0)
    }

    /// So often a dead letter had been delivered; the broker itself gives up after the limit.
    pub(super) fn deliveries(&self) -> Option<u32> {
        let by_broker = || (self.death().0 == TOO_OFTEN).then_some(DELIVERY_LIMIT + 1);
        self.count(DELIVERIES).or_else(by_broker)
    }

    fn count(&self, name: &str) -> Option<u32> {
        let count = self.get(name).as_ref().and_then(whole)?;
        u32::try_from(count).ok()
    }

    /// Why it is a dead letter, and since when.
    pub(super) fn death(&self) -> (String, Option<OffsetDateTime>) {
        let reason = self.get(REASON).as_ref().and_then(text).map(lossy);
        let died_at = self.get(DIED_AT).as_ref().and_then(moment);
        if let Some(reason) = reason {
            return (reason, died_at);
        }
        let deaths = self.get(DEATHS);
        let last = match &deaths {
            Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().first(),
            _ => None,
        };
        let Some(AMQPValue::FieldTable(death)) = last else {
            return ("unknown: it was published here directly".to_owned(), None);
        };
        let reason = death.inner().get("reason").and_then(text).map(lossy);
        let reason = match reason.as_deref() {
            Some("delivery_limit") => TOO_OFTEN.to_owned(),
            Some(reason) => format!("{reason}, says the broker"),
            None => "unknown".to_owned(),
        };
        (reason, death.inner().get("time").and_then(moment))
    }

    fn table(&self) -> FieldTable {
        self.0.headers().clone().unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<AMQPValue> {
        self.0.headers().as_ref()?.inner().get(name).cloned()
    }
}

impl From<Properties> for BasicProperties {
    fn from(properties: Properties) -> Self {
        properties.0
    }
}

fn text(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::ShortString(text) => Some(text.as_str().as_bytes()),
        _ => None,
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn whole(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        _ => None,
    }
}

fn moment(value: &AMQPValue) -> Option<OffsetDateTime> {
    match *value {
        AMQPValue::Timestamp(seconds) => {
            OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers::from_json(r#"{"x-request-id":"r","traceparent":"t"}"#)
    }

    #[test]
    fn headers_travel_as_text_and_nothing_else_comes_out() {
        let Properties(properties) = Properties::new("m-1", "order.confirmed", &headers()).unwrap();
        assert_eq!(properties.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(
            properties.content_type().as_ref().map(ShortString::as_str),
            Some("application/json")
        );
        let mut table = properties.headers().clone().unwrap();
        table.insert("cookie".into(), AMQPValue::LongString("secret".into()));
        table.insert("b3".into(), AMQPValue::Boolean(true));
        let received = Properties::received(properties.with_headers(table));
        assert_eq!(received.headers(), headers());
        assert_eq!(received.id(b"{}"), "m-1");
        assert_eq!(received.returns(), 0);
    }

    #[test]
    fn a_copy_is_as_new() {
        let Properties(properties) = Properties::new("m-1", "order.confirmed", &headers()).unwrap();
        let mut table = properties.headers().clone().unwrap();
        table.insert(DELIVERY_COUNT.into(), AMQPValue::LongLongInt(3));
        table.insert(REASON.into(), AMQPValue::LongString("refused".into()));
        let received = Properties::received(properties.clone().with_headers(table));
        assert_eq!(received.returns(), 3);
        assert_eq!(received.fresh().0, properties);
        let dead = received.fresh().dead("out of ink", Some(4));
        assert_eq!(dead.deliveries(), Some(4));
        let (reason, died_at) = dead.death();
        assert_eq!(reason, "out of ink");
        assert!(died_at.is_some());
    }

    #[test]
    fn an_id_that_no_broker_holds_is_refused() {
        let error = Properties::new(&"x".repeat(256), "order.confirmed", &headers()).unwrap_err();
        assert!(error.to_string().contains("256"), "{error}");
    }

    #[test]
    fn a_message_without_an_id_has_that_of_its_body_or_one_made_from_it() {
        let unnamed = Properties::received(BasicProperties::default());
        assert_eq!(unnamed.id(br#"{"id":"m-1"}"#), "m-1");
        assert!(unnamed.id(b"junk").starts_with("unnamed-"));
    }
}
