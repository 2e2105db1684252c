//! Tables of a Markdown document.

use std::collections::BTreeSet;

/// What stands in backticks in the first column of every table under a heading (`## Settings`), up to the next one of
/// its rank.
#[must_use]
pub fn first_column(markdown: &str, heading: &str) -> BTreeSet<String> {
    let rank = heading.split(' ').next().unwrap_or_default();
    let after = markdown
        .lines()
        .skip_while(|line| line.trim_end() != heading)
        .skip(1);
    let section = after.take_while(|line| line.split(' ').next() != Some(rank));
    let cells = section.filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::first_column;

    #[test]
    fn names_are_found_under_their_heading_alone() {
        let text = "## A\n| x | y |\n|---|---|\n| `one`, `two` | `no` |\n### sub\n| `three` | |\n## B\n| `four` | |\n";
        assert!(
            first_column(text, "## A")
                .iter()
                .eq(["one", "three", "two"])
        );
        assert!(first_column(text, "## C").is_empty());
    }
}
