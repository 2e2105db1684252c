//! Turns what the processes log into lines for people.

use std::fmt::Write as _;

use crate::{
    cli::LogChoice,
    lines::Line,
    process::ReplicaId,
    record::{Record, visible},
    terminal::{Ink, Palette},
};

/// As wide as `inventory-2`.
const NAME_WIDTH: usize = 11;

/// Renders the lines of one process.
#[derive(Debug)]
pub(crate) struct Renderer {
    prefix: String,
    palette: Palette,
    choice: LogChoice,
}

/// A name, so wide that what follows stands below what follows others.
pub(crate) fn name(name: &str) -> String {
    format!("{name:<NAME_WIDTH$}")
}

/// The process's name, as every line about it begins.
pub(crate) fn prefix(id: ReplicaId, palette: Palette) -> String {
    let name = name(&id.to_string());
    palette.paint(Ink::Nth(id.process as usize), &name) + " "
}

impl Renderer {
    pub(crate) fn new(id: ReplicaId, palette: Palette, choice: LogChoice) -> Self {
        Self {
            prefix: prefix(id, palette),
            palette,
            choice,
        }
    }

    /// The line for the terminal, if such a line was chosen.
    pub(crate) fn render(&self, line: &Line) -> Option<String> {
        if self.choice == LogChoice::None {
            return None;
        }
        let text = match Record::parse(&line.bytes) {
            Some(record) if self.choice == LogChoice::Errors && !record.is_error() => return None,
            Some(record) => record.for_people(self.palette),
            None => as_it_is(&line.bytes, line.cut),
        };
        Some(format!("{}{text}", self.prefix))
    }
}

/// The line without name and colour: for the report of a death.
pub(crate) fn plain(line: &Line) -> String {
    match Record::parse(&line.bytes) {
        Some(record) => record.for_people(Palette { on: false }),
        None => as_it_is(&line.bytes, line.cut),
    }
}

/// What is no log record is shown as it is, as far as a terminal can show it; so many bytes of it were cut.
pub(crate) fn as_it_is(bytes: &[u8], cut: usize) -> String {
    let mut text = visible(&String::from_utf8_lossy(bytes)).into_owned();
    if cut > 0 {
        let _infallible = write!(text, "… ({cut} bytes more)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

    fn line(text: impl AsRef<[u8]>) -> Line {
        Line {
            bytes: text.as_ref().to_vec(),
            cut: 0,
        }
    }

    fn renderer(choice: LogChoice) -> Renderer {
        let id = ReplicaId::first(Process::Orders);
        Renderer::new(id, Palette { on: false }, choice)
    }

    fn all(text: impl AsRef<[u8]>) -> String {
        renderer(LogChoice::All).render(&line(text)).unwrap()
    }

    #[test]
    fn a_record_reads_from_name_to_ids() {
        let record = r#"{"timestamp":"2026-11-22T12:30:01.123456Z","level":"INFO","target":"access","service":"orders","message":"request","trace_id":"4bf9","span_id":"00f0","request_id":"0b1c","route":"/v1/orders","status":201,"by":"two cooks"}"#;
        assert_eq!(
            all(record),
            r#"orders      12:30:01.123 INFO  request route=/v1/orders status=201 by="two cooks" trace_id=4bf9 request_id=0b1c"#
        );
    }

    #[test]
    fn what_is_no_record_is_passed_as_it_is() {
        for text in [
            "thread 'main' panicked at src/main.rs:1:",
            "",
            "[1,2]",
            "\"text\"",
            "42",
            "{\"cut\":",
        ] {
            assert_eq!(all(text), format!("orders      {text}"));
        }
        assert_eq!(all(b"caf\xe9"), "orders      caf\u{fffd}");
        let cut = Line {
            bytes: b"x".to_vec(),
            cut: 9,
        };
        assert_eq!(plain(&cut), "x… (9 bytes more)");
    }

    #[test]
    fn records_of_any_shape_are_survived() {
        assert_eq!(all("{}"), "orders             ");
        let odd = r#"{"level":7,"timestamp":null,"message":["a"],"fields":{"b":[]}}"#;
        assert_eq!(all(odd), r#"orders      null 7     ["a"] fields={"b":[]}"#);
        let multibyte = r#"{"timestamp":"2026T12:30:01.12é","level":"INFO","message":"m"}"#;
        assert_eq!(all(multibyte), "orders      12:30:01.12é INFO  m");
    }

    #[test]
    fn nothing_in_a_line_steers_the_terminal() {
        let hostile = "{\"level\":\"INFO\",\"message\":\"\\u001b[2J\",\"route\":\"a\\u001bb\\nc\",\"k\\u0007\":1}";
        for text in [all(hostile), all("\x1b]0;title\x07"), plain(&line(hostile))] {
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn the_choice_is_obeyed() {
        let info = line(r#"{"level":"INFO","message":"m"}"#);
        let error = line(r#"{"level":"ERROR","message":"m"}"#);
        let panic = line("thread panicked");
        let shown =
            |choice| [&info, &error, &panic].map(|line| renderer(choice).render(line).is_some());
        assert_eq!(shown(LogChoice::All), [true, true, true]);
        assert_eq!(shown(LogChoice::Errors), [false, true, true]);
        assert_eq!(shown(LogChoice::None), [false, false, false]);
    }

    #[test]
    fn colours_are_kept_to_terminals() {
        let id = ReplicaId::first(Process::Gateway);
        let coloured = Renderer::new(id, Palette { on: true }, LogChoice::All);
        let text = coloured
            .render(&line(r#"{"level":"ERROR","message":"m"}"#))
            .unwrap();
        assert!(text.starts_with("\x1b[36mgateway    \x1b[0m "), "{text:?}");
        assert!(text.contains("\x1b[1;31mERROR\x1b[0m"), "{text:?}");
    }
}
