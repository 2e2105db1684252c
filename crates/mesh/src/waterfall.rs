//! A trace as lines of text: the tree of its spans, a bar each, and the facts beside it.
//!
//! ```text
//!  span                0                 38.2 ms   took     left    status  process
//!  POST /v1/orders     █████████████████████████   38.2 ms  5.00 s  201     gateway
//!  └ PlaceOrder         ███████████████████████    36.9 ms  4.98 s  OK      gateway
//! ```
//!
//! Names, bars and times are always there; of a narrow terminal the other columns are left out from the right.

use mesh_traces::{SpanRow, Trace};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cells,
    paper::Paper,
    terminal::{Ink, Palette},
};

/// Between columns.
const GAP: usize = 2;
/// The least for a bar, and for a name beside it.
const BAR: usize = 7;
const NAME: usize = 13;
/// Statuses and names of processes are cut to so many columns.
const WIDEST_FACT: usize = 18;
/// Levels of the tree that are drawn; what is deeper stands below each other.
const LEVELS: usize = 12;
/// Lines about what went wrong.
const NOTES: usize = 10;

/// What lies on the critical path, and what does not.
const CRITICAL: &str = "█";
const BESIDE: &str = "░";

/// The whole picture, lines ended.
pub(crate) fn draw(trace: &Trace, paper: Paper) -> String {
    let table = Table::of(trace, paper.width);
    let mut lines = heading(trace, paper);
    lines.push(String::new());
    lines.push(table.head(trace, paper.palette));
    let rows = trace.spans.iter().zip(&table.names);
    lines.extend(rows.map(|(row, name)| table.row(row, name, trace, paper.palette)));
    lines.push(String::new());
    lines.extend(notes(trace, paper));
    lines.push(legend(trace, paper));
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn heading(trace: &Trace, Paper { width, palette }: Paper) -> Vec<String> {
    let summary = &trace.summary;
    let whole = cells::time(summary.duration);
    // What is worked on behind the queue goes on when the customer has the answer.
    let took = match trace.spans.first() {
        Some(root) if !root.is_detached && root.duration < summary.duration => {
            format!("{}, to its last span {whole}", cells::time(root.duration))
        }
        _ => whole,
    };
    let facts = [
        cells::line(&summary.route),
        cells::line(&summary.status),
        took,
    ];
    let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    let begun = OffsetDateTime::from(summary.start).replace_nanosecond(0);
    let begun = begun.ok().and_then(|begun| begun.format(&Rfc3339).ok());
    let id = format!("{}  {}", summary.id, begun.unwrap_or_default());
    let ink = if summary.is_error {
        Ink::Bad
    } else {
        Ink::Strong
    };
    vec![
        palette.paint(ink, &cells::cut(&facts.join("  "), width)),
        palette.paint(Ink::Faint, &cells::cut(&id, width)),
    ]
}

/// What stands where.
struct Table {
    /// With their place in the tree.
    names: Vec<Name>,
    name: usize,
    bar: usize,
    /// Of the columns behind the bar: heading, width, text.
    facts: Vec<Fact>,
}

struct Name {
    branches: String,
    text: String,
}

struct Fact {
    heading: &'static str,
    width: usize,
    text: Text,
}

/// Of a span, what stands in a column.
type Text = fn(&SpanRow) -> String;

/// In the order of their importance.
const FACTS: [(&str, Text); 4] = [
    ("took", |row| cells::time(row.duration)),
    ("left", |row| {
        row.remaining.map(cells::time).unwrap_or_default()
    }),
    ("status", |row| cells::line(&row.status)),
    ("process", |row| cells::line(&row.process)),
];

impl Table {
    fn of(trace: &Trace, width: usize) -> Self {
        let mut facts: Vec<Fact> = FACTS
            .into_iter()
            .filter_map(|(heading, text)| Fact::of(heading, text, trace))
            .collect();
        let room = |facts: &[Fact]| {
            let taken: usize = facts.iter().map(|fact| fact.width + GAP).sum();
            width.saturating_sub(taken)
        };
        while room(&facts) < NAME + GAP + BAR && !facts.is_empty() {
            facts.pop();
        }
        let room = room(&facts).max(NAME + GAP + BAR);
        let longest = |names: &[Name]| names.iter().map(Name::width).max().unwrap_or(0);
        let room = room - GAP;
        let most = room - BAR.max(room / 3);
        let mut names = names(trace, str::to_owned);
        if longest(&names) > most {
            names = self::names(trace, |name| method(name).to_owned());
        }
        let name = longest(&names).clamp(NAME, most);
        Self {
            names,
            name,
            bar: room - name,
            facts,
        }
    }

    fn head(&self, trace: &Trace, palette: Palette) -> String {
        let whole = cells::time(trace.summary.duration);
        let has_room = cells::width(&whole) + GAP < self.bar;
        let zero = if has_room { "0" } else { "" };
        let scale = format!("{zero}{}", cells::right(&whole, self.bar - zero.len()));
        let mut line = cells::left("span", self.name) + &gap() + &scale;
        for Fact { heading, width, .. } in &self.facts {
            line += &(gap() + &cells::left(heading, *width));
        }
        palette.paint(Ink::Faint, line.trim_end())
    }

    fn row(&self, row: &SpanRow, name: &Name, trace: &Trace, palette: Palette) -> String {
        let ink = if row.error.is_some() {
            Ink::Bad
        } else {
            Ink::Strong
        };
        let text = cells::left(
            &name.text,
            self.name.saturating_sub(cells::width(&name.branches)),
        );
        let branches = cells::cut(&name.branches, self.name);
        let mut line = palette.paint(Ink::Faint, &branches) + &palette.paint(ink, &text);
        line += &(gap() + &self.painted_bar(row, trace, palette));
        for Fact {
            heading,
            width,
            text,
        } in &self.facts
        {
            let text = cells::left(&text(row), *width);
            let text = match *heading {
                "process" => palette.paint(color(row, trace), &text),
                "status" if row.error.is_some() => palette.paint(Ink::Bad, &text),
                _ => text,
            };
            line += &(gap() + &text);
        }
        line
    }

    fn painted_bar(&self, row: &SpanRow, trace: &Trace, palette: Palette) -> String {
        let (from, length) = extent(row, trace, self.bar);
        let (symbol, ink) = if row.is_critical {
            (CRITICAL, color(row, trace))
        } else {
            (BESIDE, Ink::Faint)
        };
        let bar = palette.paint(ink, &symbol.repeat(length));
        " ".repeat(from) + &bar + &" ".repeat(self.bar - from - length)
    }
}

impl Fact {
    /// None if no span has it.
    fn of(heading: &'static str, text: Text, trace: &Trace) -> Option<Self> {
        let widths = trace.spans.iter().map(|row| cells::width(&text(row)));
        let widest = widths.max().filter(|width| *width > 0)?;
        Some(Self {
            heading,
            width: widest.clamp(heading.len(), WIDEST_FACT.max(heading.len())),
            text,
        })
    }
}

impl Name {
    fn width(&self) -> usize {
        cells::width(&self.branches) + cells::width(&self.text)
    }
}

fn gap() -> String {
    " ".repeat(GAP)
}

/// The same for all spans of a process.
fn color(row: &SpanRow, trace: &Trace) -> Ink {
    let mut processes = trace.summary.processes.iter();
    let place = processes.position(|process| *process == row.process);
    Ink::Nth(place.unwrap_or_default())
}

/// Where the bar begins, and how long it is: at least one column, within so many.
fn extent(row: &SpanRow, trace: &Trace, columns: usize) -> (usize, usize) {
    let whole = trace.summary.duration.as_nanos().max(1);
    // As many as `columns` at most, which is a few hundred.
    let place = |nanos: u128| usize::try_from(nanos * columns as u128 / whole).unwrap_or(columns);
    let from = place(row.offset.as_nanos()).min(columns - 1);
    let to = place((row.offset + row.duration).as_nanos()).min(columns);
    (from, to.saturating_sub(from).max(1))
}

fn names(trace: &Trace, shown: fn(&str) -> String) -> Vec<Name> {
    let names = trace.spans.iter().zip(branches(&trace.spans));
    names
        .map(|(row, branches)| {
            let mark = if row.is_detached { "? " } else { "" };
            Name {
                branches,
                text: format!("{mark}{}", shown(&cells::line(without_package(&row.name)))),
            }
        })
        .collect()
}

/// `OrdersService/PlaceOrder` of `shop.orders.v1.OrdersService/PlaceOrder`.
fn without_package(name: &str) -> &str {
    match name.split_once('/') {
        Some((service, _)) if !service.contains(' ') => {
            let package = service.rfind('.').map_or(0, |dot| dot + 1);
            &name[package..]
        }
        _ => name,
    }
}

/// `PlaceOrder` of `OrdersService/PlaceOrder`, where there is little room.
fn method(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((service, method)) if !service.contains(['/', ' ']) && !method.is_empty() => method,
        _ => name,
    }
}

/// The lines of the tree before each name.
fn branches(rows: &[SpanRow]) -> Vec<String> {
    // Whether there is a sibling further down, by level.
    let mut open = [false; LEVELS + 1];
    let mut branches: Vec<String> = rows
        .iter()
        .rev()
        .map(|row| {
            let level = row.depth.min(LEVELS);
            let mut drawn: String = (1..level)
                .map(|above| if open[above] { "│ " } else { "  " })
                .collect();
            drawn += match level {
                0 => "",
                _ if row.depth > LEVELS => "⋮ ",
                level if open[level] => "├ ",
                _ => "└ ",
            };
            open[level] = true;
            open[level + 1..].fill(false);
            drawn
        })
        .collect();
    branches.reverse();
    branches
}

/// What went wrong, and which calls were cut or not even started.
fn notes(trace: &Trace, Paper { width, palette }: Paper) -> Vec<String> {
    let mut notes: Vec<String> = trace
        .spans
        .iter()
        .flat_map(|row| {
            let events = row
                .events
                .iter()
                .filter(|event| event.name.starts_with("mesh."));
            let events = events.map(|event| {
                let facts = event.attributes.iter();
                let facts: Vec<_> = facts.map(|(key, value)| format!("{key}={value}")).collect();
                format!("{} {}", event.name, facts.join(" "))
            });
            let all: Vec<String> = row.error.iter().cloned().chain(events).collect();
            let name = without_package(&row.name);
            all.into_iter()
                .map(move |note| format!("! {} {name}: {note}", row.process))
        })
        .map(|note| {
            palette.paint(
                Ink::Warning,
                &cells::cut(cells::line(&note).trim_end(), width),
            )
        })
        .collect();
    if notes.len() > NOTES {
        let more = notes.len() - NOTES;
        notes.truncate(NOTES);
        notes.push(format!("! {more} more"));
    }
    notes
}

fn legend(trace: &Trace, Paper { width, palette }: Paper) -> String {
    let mut told = vec![format!("{CRITICAL} critical path")];
    if trace.spans.iter().any(|row| !row.is_critical) {
        told.push(format!("{BESIDE} beside it"));
    }
    if trace.spans.iter().any(|row| row.remaining.is_some()) {
        told.push("left: time to the deadline at the start".to_owned());
    }
    if trace.spans.iter().any(|row| row.is_detached) {
        told.push("? its parent is missing".to_owned());
    }
    if trace.left_out > 0 {
        let all = trace.spans.len() + trace.left_out;
        told.push(format!("{} of {all} spans", trace.spans.len()));
    }
    let mut lines = vec![String::new()];
    for piece in told {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            *last = piece;
        } else if cells::width(last) + 3 + cells::width(&piece) <= width {
            *last += &format!("   {piece}");
        } else {
            lines.push(piece);
        }
    }
    let lines = lines
        .iter()
        .map(|line| palette.paint(Ink::Faint, &cells::cut(line, width)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
