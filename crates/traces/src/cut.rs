//! Makes a span small enough to be kept, and says in it what was taken away.

use std::fmt::{self, Write as _};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};

/// Of names and keys, in bytes.
pub(crate) const NAME: usize = 256;
/// Of values and messages.
pub(crate) const VALUE: usize = 4096;
/// Attributes of a span.
pub(crate) const ATTRIBUTES: usize = 64;
/// Events of a span; links too.
pub(crate) const EVENTS: usize = 32;
/// Attributes of an event.
pub(crate) const EVENT_ATTRIBUTES: usize = 8;
/// A span's id has 8 bytes. Those that have more are still told apart.
const ID: usize = 16;

/// The trace's id goes too: it is what the span is kept under.
pub(crate) fn span(span: &mut Span) {
    span.trace_id = Vec::new();
    span.trace_state = String::new();
    span.flags = 0;
    span.span_id.truncate(ID);
    span.parent_span_id.truncate(ID);
    text(&mut span.name, NAME);
    attributes(
        &mut span.attributes,
        &mut span.dropped_attributes_count,
        ATTRIBUTES,
    );
    shorten(&mut span.events, &mut span.dropped_events_count, EVENTS);
    for event in &mut span.events {
        text(&mut event.name, NAME);
        attributes(
            &mut event.attributes,
            &mut event.dropped_attributes_count,
            EVENT_ATTRIBUTES,
        );
    }
    shorten(&mut span.links, &mut span.dropped_links_count, EVENTS);
    for link in &mut span.links {
        link.trace_id.truncate(ID);
        link.span_id = Vec::new();
        link.trace_state = String::new();
        link.attributes = Vec::new();
    }
    if let Some(status) = &mut span.status {
        text(&mut status.message, VALUE);
    }
}

fn attributes(list: &mut Vec<KeyValue>, dropped: &mut u32, most: usize) {
    shorten(list, dropped, most);
    for KeyValue {
        key,
        value,
        key_strindex,
    } in list
    {
        text(key, NAME);
        *key_strindex = 0;
        if let Some(value) = value {
            simplify(value);
        }
    }
}

fn shorten<T>(list: &mut Vec<T>, dropped: &mut u32, most: usize) {
    let more = list.len().saturating_sub(most);
    list.truncate(most);
    *dropped = dropped.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
}

/// Whole characters of at most so many bytes, and how many more there were.
pub(crate) fn text(text: &mut String, most: usize) {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        let more = text.len() - end;
        text.truncate(end);
        let _infallible = write!(text, "{}", More(more));
    }
}

/// What stands at the end of a text that was cut.
struct More(usize);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… ({} bytes more)", self.0)
    }
}

/// Lists, maps and bytes become text; numbers stay what they are.
fn simplify(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::StringValue(string)) => text(string, VALUE),
        Some(Value::BoolValue(_) | Value::IntValue(_) | Value::DoubleValue(_)) | None => {}
        Some(Value::ArrayValue(_) | Value::KvlistValue(_) | Value::BytesValue(_)) => {
            let mut draft = Draft::default();
            describe(value, &mut draft);
            value.value = Some(Value::StringValue(draft.finish()));
        }
        // Of profiles, not of spans.
        Some(Value::StringValueStrindex(_)) => value.value = None,
    }
}

/// An attribute's value for people.
pub(crate) fn shown(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        _ => {
            let mut draft = Draft::default();
            describe(value, &mut draft);
            draft.finish()
        }
    }
}

/// Much like JSON, bytes as hex digits.
fn describe(value: &AnyValue, draft: &mut Draft) {
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => {}
        Some(Value::StringValue(text)) => draft.quote(text),
        Some(Value::BoolValue(flag)) => draft.push(if *flag { "true" } else { "false" }),
        Some(Value::IntValue(number)) => draft.push(&number.to_string()),
        Some(Value::DoubleValue(number)) => draft.push(&number.to_string()),
        Some(Value::BytesValue(bytes)) => {
            for byte in bytes {
                draft.push(&format!("{byte:02x}"));
            }
        }
        Some(Value::ArrayValue(array)) => {
            draft.push("[");
            for (place, value) in array.values.iter().enumerate() {
                draft.push(if place == 0 { "" } else { "," });
                describe(value, draft);
            }
            draft.push("]");
        }
        Some(Value::KvlistValue(list)) => {
            draft.push("{");
            for (place, pair) in list.values.iter().enumerate() {
                draft.push(if place == 0 { "" } else { "," });
                draft.quote(&pair.key);
                draft.push(":");
                if let Some(value) = &pair.value {
                    describe(value, draft);
                }
            }
            draft.push("}");
        }
    }
}

/// A text that stops growing at [`VALUE`].
#[derive(Default)]
struct Draft {
    text: String,
    more: usize,
}

impl Draft {
    fn push(&mut self, piece: &str) {
        let room = if self.more == 0 {
            VALUE - self.text.len()
        } else {
            0
        };
        let end = piece.floor_char_boundary(room);
        self.text.push_str(&piece[..end]);
        self.more += piece.len() - end;
    }

    fn quote(&mut self, text: &str) {
        self.push("\"");
        self.push(text);
        self.push("\"");
    }

    fn finish(mut self) -> String {
        if self.more > 0 {
            let _infallible = write!(self.text, "{}", More(self.more));
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        common::v1::{ArrayValue, KeyValueList},
        trace::v1::{
            Status,
            span::{Event, Link},
        },
    };
    use prost::Message as _;

    use super::*;

    fn value(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(key: &str, of: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(value(of)),
            key_strindex: 0,
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for (whole, most, cut) in [
            ("order", 5, "order"),
            ("orders", 5, "order… (1 bytes more)"),
            ("caféé", 4, "caf… (4 bytes more)"),
            ("é", 0, "… (2 bytes more)"),
        ] {
            let mut short = whole.to_owned();
            text(&mut short, most);
            assert_eq!(short, cut);
        }
    }

    #[test]
    fn a_span_of_any_size_becomes_a_small_one() {
        let long = "x".repeat(1 << 20);
        let many = || vec![pair(&long, Value::StringValue(long.clone())); 4];
        let mut big = Span {
            trace_id: vec![1; 1 << 20],
            span_id: vec![2; 1 << 20],
            parent_span_id: vec![3; 1 << 20],
            trace_state: long.clone(),
            name: long.clone(),
            attributes: many(),
            events: vec![
                Event {
                    name: long.clone(),
                    attributes: many(),
                    ..Event::default()
                };
                2
            ],
            links: vec![
                Link {
                    trace_id: vec![4; 1 << 20],
                    span_id: vec![5; 1 << 20],
                    trace_state: long.clone(),
                    attributes: many(),
                    ..Link::default()
                };
                2
            ],
            status: Some(Status {
                message: long.clone(),
                code: 2,
            }),
            ..Span::default()
        };
        span(&mut big);
        let values = 4 + 2 * 4 + 1;
        assert!(
            big.encoded_len() < (values + 1) * (NAME + VALUE + 100),
            "{}",
            big.encoded_len()
        );
        assert!(big.name.ends_with("… (1048320 bytes more)"), "{}", big.name);
    }

    #[test]
    fn what_is_too_many_is_counted() {
        let mut wide = Span {
            attributes: vec![pair("k", Value::IntValue(1)); ATTRIBUTES + 3],
            dropped_attributes_count: 4,
            events: vec![Event::default(); EVENTS + 5],
            links: vec![Link::default(); EVENTS + 6],
            ..Span::default()
        };
        span(&mut wide);
        assert_eq!(wide.attributes.len(), ATTRIBUTES);
        let dropped = [
            wide.dropped_attributes_count,
            wide.dropped_events_count,
            wide.dropped_links_count,
        ];
        assert_eq!(dropped, [7, 5, 6]);
    }

    #[test]
    fn every_kind_of_value_is_shown_as_text() {
        let list = Value::ArrayValue(ArrayValue {
            values: vec![
                value(Value::IntValue(-1)),
                value(Value::BoolValue(true)),
                AnyValue::default(),
            ],
        });
        let map = Value::KvlistValue(KeyValueList {
            values: vec![
                pair("a", list),
                pair("b", Value::StringValue("c".to_owned())),
            ],
        });
        for (of, text) in [
            (Value::StringValue("plain".to_owned()), "plain"),
            (Value::DoubleValue(0.5), "0.5"),
            (Value::DoubleValue(f64::NAN), "NaN"),
            (Value::BytesValue(vec![0, 255]), "00ff"),
            (Value::StringValueStrindex(1), ""),
            (map, r#"{"a":[-1,true,],"b":"c"}"#),
        ] {
            let mut kept = value(of);
            simplify(&mut kept);
            assert_eq!(shown(&kept), text);
        }
    }

    #[test]
    fn a_value_within_values_is_bounded_too() {
        let mut nested = value(Value::BytesValue(vec![7; VALUE]));
        for _ in 0..50 {
            nested = value(Value::ArrayValue(ArrayValue {
                values: vec![nested],
            }));
        }
        simplify(&mut nested);
        let text = shown(&nested);
        assert!(text.starts_with(&"[".repeat(50)), "{text}");
        assert!(text.ends_with("… (4196 bytes more)"), "{text}");
    }
}
