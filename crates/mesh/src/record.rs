//! One JSON log line of a process, for people: time, level, message, fields, ids.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::terminal::{Ink, Palette};

/// Of use to machines only, told by the name at the start of the line, or too long: `/config` shows the settings.
const LEFT_OUT: [&str; 4] = ["service", "settings", "span_id", "target"];

/// The last on each line, in this order, so that the eye finds them.
const IDS: [&str; 2] = ["trace_id", "request_id"];

/// Unknown shapes are no error: every key that is not known is a field.
#[derive(Debug, Default)]
pub(crate) struct Record {
    time: String,
    level: String,
    message: String,
    /// In the order in which the process wrote them.
    fields: Vec<(String, Value)>,
}

impl Record {
    /// None if the line is no JSON object.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    pub(crate) fn is_error(&self) -> bool {
        self.level == "ERROR"
    }

    /// As the process wrote it.
    pub(crate) fn time(&self) -> &str {
        &self.time
    }

    pub(crate) fn level(&self) -> &str {
        &self.level
    }

    /// Everything but the process's name.
    pub(crate) fn for_people(&self, palette: Palette) -> String {
        let ink = match self.level.as_str() {
            "ERROR" => Ink::Bad,
            "WARN" => Ink::Warning,
            "INFO" => Ink::Good,
            _ => Ink::Faint,
        };
        format!(
            "{} {} {}",
            palette.paint(Ink::Faint, &visible(time_of_day(&self.time))),
            palette.paint(ink, &format!("{:<5}", visible(&self.level))),
            self.text(palette, &[])
        )
    }

    /// Message and fields, but for some.
    pub(crate) fn text(&self, palette: Palette, left_out: &[&str]) -> String {
        let mut text = visible(&self.message).into_owned();
        let place = |key: &str| IDS.iter().position(|id| *id == key).map_or(0, |at| at + 1);
        let fields = self.fields.iter();
        let mut fields: Vec<_> = fields
            .filter(|(key, _)| !left_out.contains(&key.as_str()))
            .collect();
        fields.sort_by_key(|(key, _)| place(key));
        for (key, value) in fields {
            let key = palette.paint(Ink::Faint, &format!("{}=", visible(key)));
            let _infallible = write!(text, " {key}{}", field(value));
        }
        text
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Record, A::Error> {
                let mut record = Record::default();
                while let Some((key, value)) = object.next_entry::<String, Value>()? {
                    match key.as_str() {
                        "timestamp" => record.time = bare(value),
                        "level" => record.level = bare(value),
                        "message" => record.message = bare(value),
                        key if LEFT_OUT.contains(&key) => {}
                        _ => record.fields.push((key, value)),
                    }
                }
                Ok(record)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// `12:30:01.123` of `2026-11-22T12:30:01.123456Z`; anything else as it is.
fn time_of_day(timestamp: &str) -> &str {
    let Some((_, time)) = timestamp.split_once('T') else {
        return timestamp;
    };
    time.get(..12).unwrap_or(time)
}

/// Text without quotes.
fn bare(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Quoted only where one could not tell otherwise where the value ends.
fn field(value: &Value) -> String {
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        other => visible(&other.to_string()).into_owned(),
    }
}

fn is_word(text: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=');
    !text.is_empty() && !text.contains(breaks)
}

/// Control characters, and those that turn the direction of writing or cannot be seen.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Log lines hold strangers' text: what would steer the terminal is written out instead.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}
