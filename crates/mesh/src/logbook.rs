//! What the processes logged about requests: the newest lines, in bounded memory, whichever of them the terminal shows.
//! Lines are kept as they came; they are read when somebody asks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_page::LogLine;
use mesh_traces::TraceId;

use crate::{
    lines::Line,
    logs,
    process::ReplicaId,
    record::{Record, visible},
    terminal::Palette,
};

/// Some 20,000 lines.
pub(crate) const LIMIT: usize = 8 << 20;

/// What a line takes besides its text: its place, perhaps twice while the list grows, and its allocation.
const OVERHEAD: usize = 2 * size_of::<Kept>() + 16;

/// How a line names its trace. Inside of a text the quotes would be escaped.
const KEY: &[u8] = br#""trace_id":""#;

/// A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Logbook(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    limit: usize,
    bytes: usize,
    /// Oldest first.
    lines: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    trace: TraceId,
    process: Arc<str>,
    text: Arc<[u8]>,
}

/// Writes the lines of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Scribe {
    book: Logbook,
    process: Arc<str>,
}

impl Logbook {
    /// Keeps so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Book {
            limit,
            bytes: 0,
            lines: VecDeque::new(),
        })))
    }

    pub(crate) fn scribe(&self, id: ReplicaId) -> Scribe {
        Scribe {
            book: self.clone(),
            process: id.to_string().into(),
        }
    }

    /// What is known about the request, oldest first.
    pub(crate) fn of(&self, trace: TraceId) -> Vec<LogLine> {
        let kept: Vec<_> = {
            let book = self.lock();
            let its = book.lines.iter().filter(|kept| kept.trace == trace);
            its.map(|kept| (Arc::clone(&kept.process), Arc::clone(&kept.text)))
                .collect()
        };
        let lines = kept.iter().map(|(process, text)| read(process, text));
        let mut lines: Vec<LogLine> = lines.collect();
        // Processes write their lines some at a time.
        lines.sort_by(|a, b| a.time.cmp(&b.time));
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scribe {
    /// Keeps the line if it is about a request.
    pub(crate) fn note(&self, line: &Line) {
        let Some(trace) = trace_of(&line.bytes) else {
            return;
        };
        self.book.lock().add(Kept {
            trace,
            process: Arc::clone(&self.process),
            text: line.bytes.as_slice().into(),
        });
    }
}

impl Book {
    fn add(&mut self, kept: Kept) {
        self.bytes += kept.size();
        self.lines.push_back(kept);
        while self.bytes > self.limit {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= oldest.size();
        }
    }
}

impl Kept {
    fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

fn trace_of(line: &[u8]) -> Option<TraceId> {
    let at = line.windows(KEY.len()).position(|part| part == KEY)?;
    let digits = line.get(at + KEY.len()..at + KEY.len() + 32)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What is no record has neither time nor level.
fn read(process: &str, text: &[u8]) -> LogLine {
    let process = process.to_owned();
    match Record::parse(text) {
        Some(record) => LogLine {
            process,
            time: visible(record.time()).into_owned(),
            level: visible(record.level()).into_owned(),
            text: record.text(Palette { on: false }, &["trace_id"]),
        },
        None => LogLine {
            process,
            time: String::new(),
            level: String::new(),
            text: logs::as_it_is(text, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn id(number: u32) -> ReplicaId {
        ReplicaId {
            process: Process::Orders,
            number,
        }
    }

    fn line(text: impl Into<Vec<u8>>) -> Line {
        Line {
            bytes: text.into(),
            cut: 0,
        }
    }

    fn about(trace: &str, second: u32, message: &str) -> Line {
        line(format!(
            r#"{{"timestamp":"2026-11-22T12:30:{second:02}.123456Z","level":"INFO","target":"access","service":"orders","message":"{message}","trace_id":"{trace}","span_id":"00f0","request_id":"0b1c","status":201}}"#
        ))
    }

    fn trace(text: &str) -> TraceId {
        text.parse().unwrap()
    }

    fn texts(book: &Logbook) -> Vec<String> {
        let lines = book.of(trace(TRACE)).into_iter();
        lines.map(|line| line.text).collect()
    }

    #[test]
    fn the_lines_of_a_request_are_found_in_the_order_of_their_times() {
        let book = Logbook::new(LIMIT);
        let other = TRACE.replace('4', "5");
        book.scribe(id(2)).note(&about(TRACE, 7, "second"));
        book.scribe(id(1)).note(&about(TRACE, 5, "first"));
        book.scribe(id(1)).note(&about(&other, 6, "another's"));
        book.scribe(id(1)).note(&line("no record"));
        let found = book.of(trace(TRACE));
        let expected = LogLine {
            process: "orders".to_owned(),
            time: "2026-11-22T12:30:05.123456Z".to_owned(),
            level: "INFO".to_owned(),
            text: "first status=201 request_id=0b1c".to_owned(),
        };
        assert_eq!(found[0], expected);
        assert_eq!((found[1].process.as_str(), found.len()), ("orders-2", 2));
    }

    #[test]
    fn a_trace_is_what_the_record_names_and_nothing_else() {
        assert_eq!(trace_of(&about(TRACE, 0, "m").bytes), Some(trace(TRACE)));
        let upper = TRACE.to_ascii_uppercase();
        assert_eq!(trace_of(&about(&upper, 0, "m").bytes), Some(trace(TRACE)));
        for no_trace in [
            r#"{"message":"\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""}"#.to_owned(),
            r#"{"trace_id":"4bf9"}"#.to_owned(),
            format!(r#"{{"trace_id":"+{}"}}"#, &TRACE[1..]),
            String::new(),
        ] {
            assert_eq!(trace_of(no_trace.as_bytes()), None, "{no_trace}");
        }
    }

    #[test]
    fn the_oldest_lines_go_when_there_is_no_more_room() {
        let size = about(TRACE, 0, "0").bytes.len() + OVERHEAD;
        let book = Logbook::new(3 * size);
        let scribe = book.scribe(id(1));
        for second in 0..9 {
            scribe.note(&about(TRACE, second, &second.to_string()));
        }
        let first_words = texts(&book);
        let first_words = first_words.iter().filter_map(|text| text.split(' ').next());
        assert!(first_words.eq(["6", "7", "8"]));
        assert_eq!(book.lock().bytes, 3 * size);
        scribe.note(&about(TRACE, 9, &"x".repeat(4 * size)));
        assert!(texts(&book).is_empty(), "one that is larger than all");
        assert_eq!(book.lock().bytes, 0);
    }

    #[test]
    fn what_was_cut_or_steers_a_terminal_is_shown_as_far_as_it_can_be() {
        let book = Logbook::new(LIMIT);
        let cut = format!("{{\"trace_id\":\"{TRACE}\",\"message\":\"\x1b[2J");
        book.scribe(id(1)).note(&line(cut));
        assert_eq!(
            texts(&book),
            [format!(r#"{{"trace_id":"{TRACE}","message":"\u{{1b}}[2J"#)]
        );
    }
}
