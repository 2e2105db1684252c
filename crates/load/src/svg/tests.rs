//! The picture of reports that are made up.

use super::*;
use crate::{
    measures::Measures,
    mix::Mix,
    outcome::{Failure, Outcome},
    plan::Plan,
};

/// Of so many requests, each ten times as long as the one before or so.
fn report(requests: u64) -> Report {
    let plan = Plan {
        rate: 10.0,
        length: Duration::from_secs(requests.max(1).div_ceil(10)),
        mix: Mix::new([("read", 1)]).unwrap(),
        most_in_flight: 10,
    };
    let mut measures = Measures::new(&plan);
    for number in 0..requests {
        measures.sent(plan.due(number), Duration::ZERO);
        let outcome = match number % 10 {
            8 => Outcome::Status(503),
            9 => Outcome::Failed(Failure::TimedOut),
            _ => Outcome::Status(200),
        };
        let took = Duration::from_micros(700) * u32::try_from(number % 100 + 1).unwrap();
        measures.ended(0, plan.due(number), took, outcome);
    }
    Report::new(&plan, &measures, plan.length)
}

/// The attributes of every element of that name.
fn elements<'s>(svg: &'s str, name: &str) -> Vec<&'s str> {
    let begin = format!("<{name} ");
    let parts = svg.split(&begin).skip(1);
    parts
        .map(|part| part.split_once('>').expect("a tag ends").0)
        .collect()
}

fn number(attributes: &str, name: &str) -> f64 {
    let (_, value) = attributes.split_once(&format!("{name}=\"")).unwrap();
    value.split_once('"').unwrap().0.parse().unwrap()
}

/// Every element is closed, in order, as XML wants it; nothing is not a number.
fn assert_is_xml(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('&') || text.contains("&amp;"), "{text}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "in {svg}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert_eq!(open, [""; 0]);
    for wrong in ["NaN", "inf"] {
        assert!(!svg.contains(wrong), "{wrong} in {svg}");
    }
}

#[test]
fn whatever_was_measured_the_picture_is_sound() {
    for requests in [0, 1, 2, 19, 400] {
        let svg = svg(&report(requests));
        assert_is_xml(&svg);
        assert!(svg.starts_with("<svg xmlns="), "{svg}");
        for element in elements(&svg, "rect") {
            for (name, most) in [("width", WIDTH), ("height", HEIGHT)] {
                assert!((0.0..=most).contains(&number(element, name)), "{element}");
            }
        }
    }
}

#[test]
fn it_says_the_same_in_words_and_follows_the_readers_colours() {
    let svg = svg(&report(400));
    for told in [
        "role=\"img\" aria-labelledby=\"title description\"",
        "<title id=\"title\">400 requests at 10/s for 40 s</title>",
        "half took no longer than 35",
        "80 failed.",
        "@media (prefers-color-scheme: dark)",
    ] {
        assert!(svg.contains(told), "{told} in {svg}");
    }
}

#[test]
fn errors_are_seen_where_they_were_and_the_bars_add_up() {
    let report = report(400);
    let svg = svg(&report);
    let failed = elements(&svg, "rect")
        .into_iter()
        .filter(|element| element.contains("errors"))
        .count();
    // One of them explains the colour.
    assert_eq!(failed, report.over_time.len() + 1);
    let counted: u64 = report.distribution.iter().map(|bar| bar.requests).sum();
    assert_eq!(counted, 400);
    let edges = report.distribution.windows(2);
    assert!(edges.into_iter().all(|pair| pair[0].to == pair[1].from));
}

#[test]
fn an_axis_has_neither_too_many_marks_nor_none() {
    for (low, high) in [
        (1, 2),
        (1, 10_000_000),
        (900, 1_100),
        (3_200, 3_200),
        (5_000, 30_000),
    ] {
        let ends = [low, high].map(Duration::from_micros);
        let marks = Axis::of(ends.into_iter()).marks();
        assert!((1..=MOST_MARKS + 1).contains(&marks.len()), "{marks:?}");
    }
    assert_eq!(seconds(30.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
    assert!(seconds(0.001).len() <= 8);
}
