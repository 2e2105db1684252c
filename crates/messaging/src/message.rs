//! A message as JSON: `{"id","type","order_id","occurred_at"}`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// AMQP keeps the id in a short string.
const LONGEST_ID: usize = 255;

/// Says that something happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The outbox row's; the key of every call that the message causes.
    pub id: String,
    /// What happened; the routing key.
    pub kind: String,
    /// To which order.
    pub order_id: String,
    /// When.
    pub occurred_at: OffsetDateTime,
}

/// A body that is no message, and never will be: a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct MalformedMessage(String);

#[derive(Serialize, Deserialize)]
struct Wire {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    order_id: String,
    occurred_at: String,
}

impl Message {
    /// Reads a body. Fields that we do not know are ignored: a newer version may have written it.
    ///
    /// # Errors
    /// It is not JSON, a field is missing, the id is empty or longer than 255 bytes, or the time is not RFC 3339.
    pub fn parse(body: &[u8]) -> Result<Self, MalformedMessage> {
        // An object first, for a struct would also be read from an array.
        let object: Result<Map<String, Value>, _> = serde_json::from_slice(body);
        let wire = object.and_then(|object| serde_json::from_value(object.into()));
        let Wire {
            id,
            kind,
            order_id,
            occurred_at,
        } = wire.map_err(|error| MalformedMessage(error.to_string()))?;
        if id.is_empty() || id.len() > LONGEST_ID {
            let problem = format!("id must have 1 to {LONGEST_ID} bytes, not {}", id.len());
            return Err(MalformedMessage(problem));
        }
        let occurred_at = OffsetDateTime::parse(&occurred_at, &Rfc3339)
            .map_err(|_| MalformedMessage(format!("occurred_at is no time: {occurred_at:?}")))?;
        Ok(Self {
            id,
            kind,
            order_id,
            occurred_at,
        })
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let occurred_at = self.occurred_at.to_offset(UtcOffset::UTC).format(&Rfc3339);
        let wire = Wire {
            id: self.id.clone(),
            kind: self.kind.clone(),
            order_id: self.order_id.clone(),
            occurred_at: occurred_at.expect("a clock shows a year of four digits"),
        };
        serde_json::to_vec(&wire).expect("texts are JSON")
    }
}

/// The id that a body states, also one that is otherwise malformed; not one that no message can have.
pub(crate) fn stated_id(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let id = value.get("id")?.as_str()?;
    (1..=LONGEST_ID).contains(&id.len()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":"m-1","type":"order.confirmed","order_id":"o-1","occurred_at":"2023-11-14T22:13:20.25Z"}"#;

    #[test]
    fn what_is_written_is_read() {
        let message = Message::parse(BODY.as_bytes()).unwrap();
        assert_eq!(message.id, "m-1");
        assert_eq!(message.kind, "order.confirmed");
        assert_eq!(message.order_id, "o-1");
        assert_eq!(String::from_utf8(message.to_json()).unwrap(), BODY);
    }

    #[test]
    fn a_field_of_a_newer_version_is_ignored() {
        let body = BODY.replacen('{', r#"{"priority":1,"#, 1);
        assert_eq!(
            Message::parse(body.as_bytes()),
            Message::parse(BODY.as_bytes())
        );
    }

    #[test]
    fn everything_else_is_malformed() {
        let long = format!(r#""id":"{}""#, "x".repeat(256));
        for (body, says) in [
            (String::new(), "EOF"),
            ("not json".to_owned(), "expected ident"),
            ("[]".to_owned(), "expected a map"),
            (
                BODY.replace("order_id", "order"),
                "missing field `order_id`",
            ),
            (BODY.replace("\"m-1\"", "7"), "expected a string"),
            (BODY.replace("m-1", ""), "1 to 255 bytes, not 0"),
            (
                BODY.replace(r#""id":"m-1""#, &long),
                "1 to 255 bytes, not 256",
            ),
            (BODY.replace("2023-11-14T", "yesterday "), "is no time"),
        ] {
            let error = Message::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
    }

    #[test]
    fn the_stated_id_of_a_malformed_message_is_found() {
        assert_eq!(stated_id(br#"{"id":"m-1"}"#).as_deref(), Some("m-1"));
        assert_eq!(stated_id(b"m-1"), None);
        let of = |id: &str| stated_id(format!(r#"{{"id":"{id}"}}"#).as_bytes());
        assert_eq!(of(&"x".repeat(255)), Some("x".repeat(255)));
        assert_eq!((of(""), of(&"x".repeat(256))), (None, None));
    }
}
