//! What the processes logged of a request.

use maud::{Markup, html};

use crate::{figure, mesh::LogLine};

/// Shown at most.
const LINES: usize = 500;
/// Of a line.
const CHARACTERS: usize = 4_000;

/// The lines below each other.
pub(crate) fn table(lines: &[&LogLine]) -> Markup {
    html! {
        table class="list logs" {
            thead {
                tr {
                    th scope="col" { "Time" }
                    th scope="col" { "Process" }
                    th scope="col" { "Level" }
                    th scope="col" { "Line" }
                }
            }
            tbody {
                @for line in lines.iter().take(LINES) {
                    @let is_bad = matches!(line.level.as_str(), "ERROR" | "WARN");
                    tr data-log=(line.process) {
                        td class="clock" { (clock(&line.time)) }
                        td { (line.process) }
                        td class=[is_bad.then_some("bad")] { (line.level) }
                        td class="text" { (figure::cut(&line.text, CHARACTERS)) }
                    }
                }
            }
        }
        @if lines.len() > LINES {
            p class="faint" { (figure::count((lines.len() - LINES) as u64)) " more lines are not shown." }
        }
    }
}

/// The time of the day, as far as it looks like a time.
fn clock(time: &str) -> &str {
    let clock = time.split_once('T').map_or(time, |(_, clock)| clock);
    clock.get(..12).unwrap_or(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_day() {
        assert_eq!(clock("2026-11-22T12:30:01.123456Z"), "12:30:01.123");
        assert_eq!(clock("T12:30:01.12é45"), "12:30:01.12é45");
        assert_eq!(clock("soon"), "soon");
    }
}
