//! All that a span says of itself, and what its process logged, on a click.

use maud::{Markup, html};
use mesh_traces::{Kind, SpanRow};

use crate::{figure, logs, mesh::LogLine};

/// Of details in one page, in bytes. What does not fit is a click away.
const ROOM: usize = 512 << 10;
/// What a text costs besides itself.
const FRAME: usize = 64;
/// Of the process's log lines beside a span; all of them stand below.
const LINES: usize = 20;

/// How much more fits into the page.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn new() -> Self {
        Self(ROOM)
    }

    /// Whether the span's details fit, and takes the room.
    pub(crate) fn take(&mut self, span: &SpanRow) -> bool {
        let pairs = |pairs: &[(String, String)]| -> usize {
            pairs
                .iter()
                .map(|(name, value)| name.len() + value.len() + FRAME)
                .sum()
        };
        let events: usize = span
            .events
            .iter()
            .map(|event| FRAME + event.name.len() + pairs(&event.attributes))
            .sum();
        let texts = span.process.len() + span.service.len() + span.name.len();
        let need = 8 * FRAME + texts + pairs(&span.attributes) + events + FRAME * span.links.len();
        let fits = need <= self.0;
        self.0 = self.0.saturating_sub(if fits { need } else { 0 });
        fits
    }
}

pub(crate) fn details(span: &SpanRow, lines: &[LogLine]) -> Markup {
    html! {
        div class="details" {
            dl class="facts" {
                (fact("Process", &span.process))
                (fact("Kind", &span.kind.to_string()))
                (fact("Started after", &figure::duration(span.offset)))
                (fact("Took", &figure::duration(span.duration)))
                @if let Some(left) = span.remaining { (fact("Budget at start", &figure::duration(left))) }
                @if let Some(cap) = span.cap { (fact("Caller's cap", &figure::duration(cap))) }
                (fact("Span", &span.id))
                @if let Some(parent) = &span.parent { (fact("Parent", parent)) }
                @if let Some(error) = &span.error { (fact("Error", error)) }
            }
            @if !span.attributes.is_empty() { h3 { "Attributes" } }
            (pairs(&span.attributes))
            (events(span))
            (links(span))
            (log(span, lines))
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn pairs(pairs: &[(String, String)]) -> Markup {
    html! {
        @if !pairs.is_empty() {
            dl class="pairs" {
                @for (name, value) in pairs { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn events(span: &SpanRow) -> Markup {
    html! {
        @for event in &span.events {
            @let title = format!("Event after {}: {}", figure::duration(event.offset), event.name);
            h3 { (title) }
            (pairs(&event.attributes))
        }
    }
}

fn links(span: &SpanRow) -> Markup {
    html! {
        @if !span.links.is_empty() {
            h3 { "Linked traces" }
            ul { @for link in &span.links { li { a href={ "/traces/" (link) } { code { (link) } } } } }
        }
    }
}

/// Beside the span with which the request entered the process.
fn log(span: &SpanRow, lines: &[LogLine]) -> Markup {
    let is_entry = matches!(span.kind, Kind::Server | Kind::Consumer) || span.parent.is_none();
    let own: Vec<&LogLine> = lines
        .iter()
        .filter(|line| is_entry && line.process == span.process)
        .take(LINES)
        .collect();
    html! {
        @if !own.is_empty() {
            h3 { "Log of " (span.process) }
            (logs::table(&own))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_does_not_fit_takes_no_room() {
        let mut span = SpanRow {
            id: "a".to_owned(),
            parent: None,
            depth: 0,
            process: String::new(),
            service: String::new(),
            name: String::new(),
            kind: Kind::Internal,
            offset: Duration::ZERO,
            duration: Duration::ZERO,
            remaining: None,
            cap: None,
            error: None,
            status: String::new(),
            attributes: vec![("a".to_owned(), "x".repeat(ROOM))],
            events: Vec::new(),
            links: Vec::new(),
            is_critical: false,
            is_detached: false,
        };
        let mut room = Room::new();
        assert!(!room.take(&span));
        span.attributes.clear();
        let taken = std::iter::repeat_with(|| room.take(&span)).take_while(|fits| *fits);
        assert_eq!(taken.count(), ROOM / (8 * FRAME));
    }
}
