//! Columns for people.

use std::fmt::Write as _;

use crate::terminal::{Ink, Palette};

/// The rows below each other, the first as their heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], palette: Palette) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let widths = rows.iter().map(|row| row[column].chars().count());
            let width = widths.max().unwrap_or(0);
            let _infallible = write!(line, " {cell:<width$} ");
        }
        let ink = if index == 0 { Ink::Faint } else { Ink::Strong };
        let _infallible = writeln!(text, "{}", palette.paint(ink, line.trim_end()));
    }
    text
}
