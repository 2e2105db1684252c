//! The waterfall: a bar a span, the budget that was left as the shaded rest of the bar, the critical path underlined.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

use maud::{Markup, Render, html};
use mesh_traces::{SpanRow, Trace};

use crate::{
    figure,
    mesh::LogLine,
    refusal::Refusal,
    span::{self, Room},
    traces,
};

/// Indented at most so deep; a deeper one says how deep it is.
const DEEPEST: usize = 16;
/// Every known service has its colour; the rest share one.
const SERVICES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "fulfillment"];

/// Where the picture ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// At the deadlines if the bars can be seen then, else with the trace.
    Auto,
    Trace,
    Deadline,
}

impl Scale {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "" => Ok(Self::Auto),
            "trace" => Ok(Self::Trace),
            "deadline" => Ok(Self::Deadline),
            other => {
                let other = figure::cut(other, 60);
                let detail = format!("{other:?} is no scale: trace or deadline");
                Err(Refusal::bad_request(detail))
            }
        }
    }
}

/// A part of a length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(f64);

impl Percent {
    pub(crate) fn of(part: f64, whole: f64) -> Self {
        let percent = 100.0 * part / whole;
        Self(if percent.is_finite() {
            percent.clamp(0.0, 100.0)
        } else {
            0.0
        })
    }
}

impl Render for Percent {
    fn render_to(&self, buffer: &mut String) {
        let _infallible = write!(buffer, "{:.2}%", self.0);
    }
}

/// A trace about to be drawn.
pub(crate) struct Waterfall<'a> {
    trace: &'a Trace,
    lines: &'a [LogLine],
    /// The span whose attributes come first.
    chosen: &'a str,
    end: Duration,
    is_to_deadline: bool,
    /// When the request had to be answered.
    latest: Option<Duration>,
    whole: Option<Duration>,
}

impl<'a> Waterfall<'a> {
    pub(crate) fn new(
        trace: &'a Trace,
        lines: &'a [LogLine],
        scale: Scale,
        chosen: &'a str,
    ) -> Self {
        let duration = trace.summary.duration;
        // What the request itself had; a message that it left behind has a budget of its own.
        let first = trace.spans.iter().find(|span| span.remaining.is_some());
        let latest = first.and_then(deadline);
        let is_to_deadline = match scale {
            Scale::Trace => false,
            Scale::Deadline => latest.is_some(),
            Scale::Auto => latest.is_some_and(|latest| latest <= duration.saturating_mul(5)),
        };
        let end = match latest {
            Some(latest) if is_to_deadline => latest.max(duration),
            _ => duration,
        };
        Self {
            trace,
            lines,
            chosen,
            end,
            is_to_deadline,
            latest,
            whole: first.and_then(|span| span.remaining),
        }
    }

    pub(crate) fn draw(&self) -> Markup {
        let spans = &self.trace.spans;
        let mut room = Room::new();
        // Whoever asked for this one sees it, however many come before.
        if let Some(chosen) = spans.iter().find(|span| span.id == self.chosen) {
            room.take(chosen);
        }
        let mut ids = HashSet::new();
        html! {
            section {
                div class="between" {
                    h2 id="waterfall-title" { "Waterfall" }
                    (self.switch())
                }
                (legend())
                div class="scroll" role="region" aria-labelledby="waterfall-title" tabindex="0" {
                    table class="waterfall" {
                        (self.heading())
                        tbody {
                            @for span in spans {
                                (self.row(span, ids.insert(span.id.as_str()), &mut room))
                            }
                        }
                    }
                }
                @if self.trace.left_out > 0 {
                    p class="note" { (figure::count(self.trace.left_out as u64)) " more spans are kept and not shown." }
                }
            }
        }
    }

    /// The other scale, where there is one.
    fn switch(&self) -> Markup {
        html! {
            @if self.latest > Some(self.trace.summary.duration) {
                @let id = self.trace.summary.id;
                p class="switch" {
                    @if self.is_to_deadline {
                        a href={ "/traces/" (id) "?scale=trace" } { "Show up to the end" }
                    } @else {
                        a href={ "/traces/" (id) "?scale=deadline" } { "Show up to the deadlines" }
                    }
                }
            }
        }
    }

    fn heading(&self) -> Markup {
        let at = |quarter: u32| figure::duration(self.end * quarter / 4);
        html! {
            thead {
                tr {
                    th scope="col" { "Span" }
                    th scope="col" class="chart" {
                        span class="hidden" { "From the start, up to " (at(4)) }
                        svg class="axis" width="100%" height="16" aria-hidden="true" {
                            text x="0" y="12" { "0" }
                            text x="25%" y="12" class="middle" { (at(1)) }
                            text x="50%" y="12" class="middle" { (at(2)) }
                            text x="75%" y="12" class="middle" { (at(3)) }
                            text x="100%" y="12" class="end" { (at(4)) }
                        }
                    }
                    th scope="col" class="number" { "Duration" }
                    th scope="col" class="number" { "Budget at start" }
                    th scope="col" { "Status" }
                }
            }
        }
    }

    fn row(&self, span: &SpanRow, is_first: bool, room: &mut Room) -> Markup {
        let is_chosen = is_first && span.id == self.chosen;
        let is_open = is_chosen || room.take(span);
        let remaining = span.remaining.map(|left| left.as_millis());
        let id = is_first.then(|| format!("s-{}", span.id));
        let depth = span.depth.min(DEEPEST);
        html! {
            tr id=[id.as_deref()] class={ "span d" (depth) } data-span=(span.id) data-process=(span.process)
                data-remaining-ms=[remaining] data-depth=(span.depth) {
                th scope="row" {
                    @if is_open {
                        details open[is_chosen] { summary { (name(span)) } }
                    } @else {
                        @let trace = self.trace.summary.id;
                        a href={ "/traces/" (trace) "?span=" (span.id) "#s-" (span.id) } { (name(span)) }
                    }
                }
                td class="chart" { (self.bar(span)) }
                td class="number" { (figure::duration(span.duration)) }
                td class="number" { (self.budget(span)) }
                td class="text" { (traces::status(&span.status, span.error.is_some())) }
            }
            @if is_open {
                tr class="more" { td colspan="5" { (span::details(span, self.lines)) } }
            }
        }
    }

    fn bar(&self, span: &SpanRow) -> Markup {
        let end = self.end.as_secs_f64();
        let part = |duration: Duration| Percent::of(duration.as_secs_f64(), end);
        let (x, width) = (part(span.offset), part(span.duration));
        let over = span.offset + span.duration;
        let deadline = deadline(span).filter(|deadline| *deadline > over);
        let class = colour(span);
        html! {
            svg class={ "bar " (class) } width="100%" height="24" aria-hidden="true" {
                @if let Some(deadline) = deadline {
                    @let (from, to) = (part(over), part(deadline));
                    rect class="left" x=(from) y="6" width=(Percent(to.0 - from.0)) height="12" {}
                    @if deadline <= self.end { rect class="deadline" x=(to) y="3" width="2" height="18" {} }
                }
                rect class="took" x=(x) y="5" width=(width) height="14" rx="3" {}
                @if span.is_critical { rect class="critical" x=(x) y="21" width=(width) height="3" {} }
                @for event in &span.events {
                    circle class="event" cx=(part(event.offset)) cy="12" r="3.5" {}
                }
            }
        }
    }

    fn budget(&self, span: &SpanRow) -> Markup {
        html! {
            @if let (Some(left), Some(whole)) = (span.remaining, self.whole) {
                (figure::duration(left))
                svg class="gauge" width="100%" height="4" aria-hidden="true" {
                    rect class="left" width=(Percent::of(left.as_secs_f64(), whole.as_secs_f64())) height="4" rx="2" {}
                }
            } @else { (figure::UNKNOWN) }
        }
    }
}

fn deadline(span: &SpanRow) -> Option<Duration> {
    Some(span.offset.saturating_add(span.remaining?))
}

fn colour(span: &SpanRow) -> String {
    let known = SERVICES.iter().position(|service| *service == span.service);
    format!("c{}", known.unwrap_or(SERVICES.len()))
}

fn name(span: &SpanRow) -> Markup {
    let name = if span.name.is_empty() {
        "(no name)"
    } else {
        &span.name
    };
    html! {
        span class={ "service " (colour(span)) } { (span.process) }
        " " span class="kind" { (span.kind) }
        @if span.is_detached { " " span class="kind" { "· parent not received" } }
        @if span.depth > DEEPEST { " " span class="kind" { "· depth " (span.depth) } }
        " " span class="name" { @for part in name.split_inclusive('/') { (part) wbr; } }
        @if span.is_critical { " " span class="hidden" { "on the critical path" } }
    }
}

fn legend() -> Markup {
    html! {
        p class="legend" aria-hidden="true" {
            span { svg width="28" height="14" { rect class="took" y="1" width="28" height="12" rx="3" {} } "time taken" }
            span { svg width="28" height="14" { rect class="left" y="1" width="28" height="12" {} } "budget left at its end" }
            span { svg width="28" height="14" { rect class="critical" y="9" width="28" height="3" {} } "critical path" }
            span { svg width="10" height="14" { rect class="deadline" x="4" width="2" height="14" {} } "deadline" }
            span { svg width="12" height="14" { circle class="event" cx="6" cy="7" r="3.5" {} } "event" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_within_the_whole() {
        let text = |part, whole| Percent::of(part, whole).render().into_string();
        assert_eq!(text(1.0, 4.0), "25.00%");
        assert_eq!(text(9.0, 4.0), "100.00%");
        assert_eq!(text(0.0, 0.0), "0.00%");
        assert_eq!(text(1.0, 0.0), "0.00%");
    }

    #[test]
    fn a_scale_is_one_of_two() {
        assert_eq!(Scale::parse(""), Ok(Scale::Auto));
        assert_eq!(Scale::parse("deadline"), Ok(Scale::Deadline));
        assert!(Scale::parse("<b>").is_err());
    }
}
