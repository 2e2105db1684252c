//! Makes a tree of spans, whatever their parents are: missing, themselves, each other, or there twice.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::digest::{has_parent, times};

/// Which span stands below which, by their places in the list that the tree was made of.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Parents before their children, siblings by their start.
    pub(crate) order: Vec<Place>,
    pub(crate) children: Vec<Vec<usize>>,
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) span: usize,
    pub(crate) depth: usize,
    /// It has a parent, but not here.
    pub(crate) is_detached: bool,
}

impl Tree {
    pub(crate) fn of(spans: &[&Span]) -> Self {
        let mut parents = parents(spans);
        cut_circles(&mut parents, spans);
        let mut children = vec![Vec::new(); spans.len()];
        let mut tops = Vec::new();
        for (span, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => children[*parent].push(span),
                None => tops.push(span),
            }
        }
        for siblings in &mut children {
            siblings.sort_by_key(|span| start(spans[*span]));
        }
        // True roots first: one of them is what the trace is about.
        tops.sort_by_key(|span| (has_parent(spans[*span]), start(spans[*span])));
        let order = order(&tops, &children, spans);
        Self { order, children }
    }
}

fn start(span: &Span) -> u64 {
    times(span).map_or(0, |(start, _)| start)
}

/// The place of each span's parent, if it is here. Of two with one id the first to come is the parent.
fn parents(spans: &[&Span]) -> Vec<Option<usize>> {
    let mut places = HashMap::with_capacity(spans.len());
    for (place, span) in spans.iter().enumerate() {
        places.entry(span.span_id.as_slice()).or_insert(place);
    }
    spans
        .iter()
        .map(|span| {
            let parent = Some(span.parent_span_id.as_slice()).filter(|_| has_parent(span));
            parent.and_then(|parent| places.get(parent).copied())
        })
        .collect()
}

/// Where parents go round in a circle, the earliest span of it loses its parent.
fn cut_circles(parents: &mut [Option<usize>], spans: &[&Span]) {
    // In which walk a span was met.
    let mut met = vec![None; parents.len()];
    for walk in 0..parents.len() {
        let mut at = walk;
        while met[at].is_none() {
            met[at] = Some(walk);
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        // Where a walk comes back to itself there is a circle.
        if met[at] == Some(walk) && parents[at].is_some() {
            let earliest = circle(at, parents).min_by_key(|span| (start(spans[*span]), *span));
            if let Some(earliest) = earliest {
                parents[earliest] = None;
            }
        }
    }
}

/// The spans of the circle that this one is on.
fn circle(from: usize, parents: &[Option<usize>]) -> impl Iterator<Item = usize> {
    let next = move |at: &usize| parents[*at].filter(|next| *next != from);
    std::iter::successors(Some(from), next)
}

fn order(tops: &[usize], children: &[Vec<usize>], spans: &[&Span]) -> Vec<Place> {
    let mut order = Vec::with_capacity(spans.len());
    let top = |span: &usize| Place {
        span: *span,
        depth: 0,
        is_detached: has_parent(spans[*span]),
    };
    let mut ahead: Vec<Place> = tops.iter().rev().map(top).collect();
    while let Some(place) = ahead.pop() {
        order.push(place);
        let below = children[place.span].iter().rev().map(|span| Place {
            span: *span,
            depth: place.depth + 1,
            is_detached: false,
        });
        ahead.extend(below);
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(id: u8, parent: u8, start: u64) -> Span {
        Span {
            span_id: vec![id; 8],
            parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
            start_time_unix_nano: start,
            end_time_unix_nano: start,
            ..Span::default()
        }
    }

    /// Ids with their depths; a detached one is marked.
    fn drawn(spans: &[Span]) -> String {
        let spans: Vec<&Span> = spans.iter().collect();
        let places = Tree::of(&spans).order.into_iter();
        let drawn = places.map(|place| {
            let mark = if place.is_detached { "!" } else { "" };
            format!("{}{mark}@{}", spans[place.span].span_id[0], place.depth)
        });
        drawn.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn children_stand_below_their_parents_by_their_start() {
        let spans = [
            span(4, 1, 30),
            span(5, 2, 25),
            span(2, 1, 20),
            span(1, 0, 10),
            span(3, 1, 20),
        ];
        assert_eq!(drawn(&spans), "1@0 2@1 5@2 3@1 4@1");
        assert_eq!(drawn(&[]), "");
    }

    #[test]
    fn roots_come_before_spans_whose_parent_is_missing() {
        let spans = [span(3, 9, 1), span(4, 3, 2), span(1, 0, 10), span(2, 0, 5)];
        assert_eq!(drawn(&spans), "2@0 1@0 3!@0 4@1");
    }

    #[test]
    fn circles_are_cut_where_they_begin() {
        assert_eq!(drawn(&[span(1, 1, 5)]), "1!@0");
        let round = [span(1, 3, 7), span(2, 1, 5), span(3, 2, 6)];
        assert_eq!(drawn(&round), "2!@0 3@1 1@2");
        // What hangs on a circle is not torn off it.
        let with_tail = [span(4, 3, 1), span(1, 3, 7), span(2, 1, 5), span(3, 2, 6)];
        assert_eq!(drawn(&with_tail), "2!@0 3@1 4@2 1@2");
        let two = [span(1, 2, 1), span(2, 1, 2), span(3, 4, 3), span(4, 3, 4)];
        assert_eq!(drawn(&two), "1!@0 2@1 3!@0 4@1");
    }

    #[test]
    fn the_first_of_two_with_one_id_has_the_children() {
        let spans = [span(1, 0, 5), span(1, 0, 1), span(2, 1, 6), span(1, 1, 7)];
        assert_eq!(drawn(&spans), "1@0 1@0 2@1 1@1");
    }

    #[test]
    fn a_chain_of_ten_thousand_does_not_exhaust_the_stack() {
        let id = |n: u64| n.to_be_bytes().to_vec();
        let chain: Vec<Span> = (1..=10_000)
            .map(|n| Span {
                span_id: id(n),
                parent_span_id: id(n - 1),
                ..Span::default()
            })
            .collect();
        let spans: Vec<&Span> = chain.iter().collect();
        let tree = Tree::of(&spans);
        assert_eq!(tree.order.last().map(|place| place.depth), Some(9_999));
    }

    proptest! {
        #[test]
        fn every_span_stands_once_below_its_parent(links in prop::collection::vec((0_u8..9, 0_u8..9, 0_u64..5), 0..40)) {
            let spans: Vec<Span> = links.into_iter().map(|(id, parent, at)| span(id, parent, at)).collect();
            let spans: Vec<&Span> = spans.iter().collect();
            let Tree { order, children } = Tree::of(&spans);
            let mut seen: Vec<usize> = order.iter().map(|place| place.span).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..spans.len()).collect::<Vec<_>>());
            let at = |span: usize| order.iter().position(|place| place.span == span).unwrap();
            for (parent, below) in children.iter().enumerate() {
                for child in below {
                    prop_assert!(at(*child) > at(parent));
                    prop_assert_eq!(order[at(*child)].depth, order[at(parent)].depth + 1);
                    prop_assert_eq!(&spans[*child].parent_span_id, &spans[parent].span_id);
                }
            }
        }
    }
}
