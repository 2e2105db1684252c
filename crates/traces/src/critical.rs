//! The critical path: what the end of a span had to wait for.
//!
//! Gone backwards from the span's end: the child that ends last before the point reached is on the path, and from its
//! start the same is asked again; so for each of these. A child that outlives its parent counts as ending with it, one
//! that begins only then was not waited for. Of siblings that overlap only one is on the path.

use std::cmp::Reverse;

/// Marks the spans on the path below `top`. Times are start and end of each span.
pub(crate) fn path(top: usize, children: &[Vec<usize>], times: &[(u64, u64)]) -> Vec<bool> {
    let mut is_critical = vec![false; times.len()];
    let mut ahead = vec![top];
    while let Some(span) = ahead.pop() {
        is_critical[span] = true;
        let (start, end) = times[span];
        let end_within = |child: usize| times[child].1.min(end);
        let mut waited: Vec<usize> = children[span]
            .iter()
            .copied()
            .filter(|child| times[*child].0 <= end && times[*child].1 >= start)
            .collect();
        // Of two that end together the longer one.
        waited.sort_by_key(|child| (Reverse(end_within(*child)), times[*child].0));
        let mut point = end;
        for child in waited {
            if end_within(child) <= point {
                ahead.push(child);
                point = times[child].0.max(start);
            }
        }
    }
    is_critical
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the children of one span, from 0 to 100, are on the path.
    fn critical(children: &[(u64, u64)]) -> Vec<bool> {
        let times: Vec<_> = [(0, 100)].iter().chain(children).copied().collect();
        let below: Vec<usize> = (1..times.len()).collect();
        let tree = std::iter::once(below)
            .chain(vec![Vec::new(); children.len()])
            .collect::<Vec<_>>();
        path(0, &tree, &times)[1..].to_vec()
    }

    #[test]
    fn of_what_runs_side_by_side_the_last_to_end_counts() {
        for (children, expected) in [
            (&[][..], &[][..]),
            (&[(0, 40), (50, 100)], &[true, true]),
            (&[(0, 60), (10, 90)], &[false, true]),
            (&[(0, 10), (10, 60), (20, 90)], &[true, false, true]),
            // It outlives its parent.
            (&[(0, 50), (60, 300)], &[true, true]),
            (&[(0, 50), (60, 300), (60, 200)], &[true, true, false]),
            // It begins when the parent has ended.
            (&[(0, 50), (101, 300)], &[true, false]),
            (&[(0, 0), (100, 100)], &[true, true]),
        ] {
            assert_eq!(critical(children), expected, "{children:?}");
        }
    }

    #[test]
    fn a_child_that_ended_before_its_parent_began_was_not_waited_for() {
        let times = [(50, 100), (10, 20), (60, 70)];
        assert_eq!(
            path(0, &[vec![1, 2], vec![], vec![]], &times),
            [true, false, true]
        );
    }

    #[test]
    fn only_what_is_below_the_critical_is_critical() {
        let times = [(0, 100), (0, 90), (0, 80), (10, 20), (30, 40)];
        let tree = [vec![1, 2], vec![3], vec![4], vec![], vec![]];
        assert_eq!(path(0, &tree, &times), [true, true, false, true, false]);
    }
}
