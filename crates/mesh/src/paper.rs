//! What standard output can show: so many columns, in colour or not.

use std::io::{self, IsTerminal as _};

use mesh_config::Source;
use rustix::termios::tcgetwinsize;

use crate::terminal::Palette;

/// Where nobody says how wide it is: as wide as a page.
const USUAL_WIDTH: usize = 80;

/// Narrower there is nothing to be drawn; wider nobody has.
const WIDTHS: std::ops::RangeInclusive<usize> = 30..=400;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    pub(crate) width: usize,
    pub(crate) palette: Palette,
}

impl Paper {
    /// A terminal's own width; a pipe has none, so `COLUMNS` counts there. Colours on a terminal only, without `NO_COLOR`.
    pub(crate) fn stdout(environment: &dyn Source) -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let size = tcgetwinsize(&out).ok().filter(|_size| is_terminal);
        let columns = size.map(|size| usize::from(size.ws_col));
        Self::of(columns, is_terminal, environment)
    }

    fn of(columns: Option<usize>, is_terminal: bool, environment: &dyn Source) -> Self {
        let said = || environment.get("COLUMNS")?.trim().parse().ok();
        let width = columns
            .filter(|columns| *columns > 0)
            .or_else(said)
            .unwrap_or(USUAL_WIDTH);
        let no_color = environment.get("NO_COLOR");
        let no_color = no_color.is_some_and(|value| !value.is_empty());
        Self {
            width: width.clamp(*WIDTHS.start(), *WIDTHS.end()),
            palette: Palette {
                on: is_terminal && !no_color,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_terminal_knows_its_width_and_a_pipe_is_told() {
        let environment = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect()
        };
        for (columns, said, width) in [
            (Some(132), "100", 132),
            (None, "100", 100),
            (Some(0), "100", 100),
            (None, "", 80),
            (None, "wide", 80),
            (None, "2", 30),
            (None, "100000", 400),
        ] {
            let environment = environment(&[("COLUMNS", said)]);
            assert_eq!(Paper::of(columns, true, &environment).width, width);
        }
        let is_on =
            |is_terminal, pairs| Paper::of(None, is_terminal, &environment(pairs)).palette.on;
        assert!(is_on(true, &[]) && is_on(true, &[("NO_COLOR", "")]));
        assert!(!is_on(false, &[]) && !is_on(true, &[("NO_COLOR", "1")]));
    }
}
