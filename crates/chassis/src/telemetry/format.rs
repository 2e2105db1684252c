//! How a log line looks: JSON for machines, or a line for people when standard output is a terminal.
//!
//! Written by hand, field by field into one buffer: an access-log line costs about a tenth of what a serializer and
//! tracing's formatter cost.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::SystemTime,
};

use tracing::Level;

use super::timestamp;

/// Keys that every line has; a field of that name gets a prefix.
const RESERVED: [&str; 5] = ["timestamp", "level", "target", "message", "service"];

/// How this process writes its lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    style: Style,
    service: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Json,
    /// For people.
    Text,
}

/// A line in the making.
#[derive(Debug)]
pub(crate) struct Line {
    buffer: Vec<u8>,
    style: Style,
}

impl Format {
    pub(crate) fn new(style: Style, service: &str) -> Self {
        Self {
            style,
            service: service.into(),
        }
    }

    /// For machines.
    pub(crate) fn json(service: &str) -> Self {
        Self::new(Style::Json, service)
    }

    /// The fixed part of a line.
    pub(crate) fn line(&self, time: SystemTime, level: Level, target: &str, message: &str) -> Line {
        let mut line = Line {
            buffer: Vec::with_capacity(512),
            style: self.style,
        };
        match self.style {
            Style::Json => {
                line.buffer.extend_from_slice(b"{\"timestamp\":\"");
                timestamp::write(&mut line.buffer, time);
                line.buffer.push(b'"');
                for (key, value) in [
                    ("level", level.as_str()),
                    ("target", target),
                    ("service", &self.service),
                    ("message", message),
                ] {
                    line.key(key);
                    line.quoted(value);
                }
            }
            Style::Text => {
                timestamp::write(&mut line.buffer, time);
                line.raw(format_args!(
                    " {}{level:>5}\x1b[0m {} ",
                    color(level),
                    self.service
                ));
                line.buffer.extend_from_slice(message.as_bytes());
            }
        }
        line
    }
}

impl Line {
    /// A field that is text.
    pub(crate) fn text(&mut self, key: &str, value: impl fmt::Display) {
        self.field(key);
        self.quoted(value);
    }

    /// A field that is a number or a truth value: `value` prints as JSON.
    pub(crate) fn bare(&mut self, key: &str, value: impl fmt::Display) {
        self.field(key);
        self.raw(format_args!("{value}"));
    }

    /// The whole line.
    pub(crate) fn end(mut self) -> Vec<u8> {
        if self.style == Style::Json {
            self.buffer.push(b'}');
        }
        self.buffer.push(b'\n');
        self.buffer
    }

    fn field(&mut self, key: &str) {
        if RESERVED.contains(&key) {
            self.key(&format!("field.{key}"));
        } else {
            self.key(key);
        }
    }

    fn key(&mut self, key: &str) {
        match self.style {
            Style::Json => {
                self.buffer.extend_from_slice(b",\"");
                let _ = Escaped(&mut self.buffer).write_str(key);
                self.buffer.extend_from_slice(b"\":");
            }
            Style::Text => self.raw(format_args!(" {key}=")),
        }
    }

    fn quoted(&mut self, value: impl fmt::Display) {
        self.buffer.push(b'"');
        let _ = write!(Escaped(&mut self.buffer), "{value}");
        self.buffer.push(b'"');
    }

    fn raw(&mut self, text: fmt::Arguments<'_>) {
        let _ = io_write(&mut self.buffer, text);
    }
}

fn io_write(buffer: &mut Vec<u8>, text: fmt::Arguments<'_>) -> std::io::Result<()> {
    std::io::Write::write_fmt(buffer, text)
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

/// Writes what stands between the quotes of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (index, byte) in text.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.extend_from_slice(&text.as_bytes()[plain..index]);
            plain = index + 1;
            match byte {
                b'"' => self.0.extend_from_slice(b"\\\""),
                b'\\' => self.0.extend_from_slice(b"\\\\"),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                control => {
                    io_write(self.0, format_args!("\\u{control:04x}")).map_err(|_| fmt::Error)?
                }
            }
        }
        self.0.extend_from_slice(&text.as_bytes()[plain..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn line(style: Style) -> String {
        let mut line = Format::new(style, "orders").line(
            UNIX_EPOCH,
            Level::WARN,
            "orders::store",
            "no \"answer\"",
        );
        line.text("peer", "inventory");
        line.bare("tries", 2);
        line.text("message", "a\nb");
        String::from_utf8(line.end()).unwrap()
    }

    #[test]
    fn a_line_for_machines_is_one_json_object() {
        assert_eq!(
            line(Style::Json),
            "{\"timestamp\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"WARN\",\"target\":\"orders::store\",\
             \"service\":\"orders\",\"message\":\"no \\\"answer\\\"\",\"peer\":\"inventory\",\"tries\":2,\
             \"field.message\":\"a\\nb\"}\n"
        );
    }

    #[test]
    fn a_line_for_people_has_no_braces() {
        assert_eq!(
            line(Style::Text),
            "1970-01-01T00:00:00.000000Z \x1b[33m WARN\x1b[0m orders no \"answer\" peer=\"inventory\" tries=2 \
             field.message=\"a\\nb\"\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_survives_a_line(key in "[^\u{0}]{1,10}", value: String) {
            prop_assume!(!RESERVED.contains(&key.as_str()));
            let mut line = Format::new(Style::Json, "orders").line(UNIX_EPOCH, Level::INFO, "t", "m");
            line.text(&key, &value);
            let line = line.end();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let parsed: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(parsed[&key].as_str(), Some(value.as_str()));
        }
    }
}
