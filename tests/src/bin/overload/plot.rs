//! The plot: answers a second above, times below, both over the load that was offered.

use std::fmt::Write as _;

use crate::{
    load::{Outcome, percentile},
    trial::{Phase, Trial},
};

const WIDTH: f64 = 720.0;
/// Of one panel.
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
/// Between the panels.
const GAP: f64 = 60.0;

/// One line of a panel.
struct Series {
    name: &'static str,
    colour: &'static str,
    value: fn(&Phase) -> f64,
}

const ANSWERS: [Series; 2] = [
    Series {
        name: "good answers/s",
        colour: "#1a7f37",
        value: Phase::goodput,
    },
    Series {
        name: "shed/s",
        colour: "#9a6700",
        value: |phase| phase.rate(Outcome::Shed),
    },
];

const TIMES: [Series; 2] = [
    Series {
        name: "p99 of good answers, ms",
        colour: "#0969da",
        value: |phase| percentile(&phase.calls, 99).as_secs_f64() * 1e3,
    },
    Series {
        name: "slowest /healthz, ms",
        colour: "#cf222e",
        value: |phase| phase.slowest_probe().unwrap_or_default().as_secs_f64() * 1e3,
    },
];

/// The whole picture.
pub(crate) fn svg(trial: &Trial) -> String {
    let overloads = trial.overloads.iter().map(|(_, phase)| phase);
    let phases: Vec<_> = trial.ramp.iter().chain(overloads).collect();
    let (width, height) = (LEFT + WIDTH + 30.0, TOP + 2.0 * HEIGHT + GAP + 50.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let across = Axis::of(phases.iter().map(|phase| phase.offered));
    panel(&mut svg, TOP, &across, &phases, &ANSWERS);
    panel(&mut svg, TOP + HEIGHT + GAP, &across, &phases, &TIMES);
    let (x, y) = (LEFT + WIDTH / 2.0, height - 8.0);
    text(&mut svg, x, y, "middle", "calls offered per second");
    svg.push_str("</svg>\n");
    svg
}

/// Logarithmic, from the smallest value to the largest: what lies between half and ten times spreads evenly.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        Self { low, high }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + WIDTH * (value / self.low).ln() / (self.high / self.low).ln().max(f64::EPSILON)
    }
}

fn panel(svg: &mut String, top: f64, across: &Axis, phases: &[&Phase], lines: &[Series]) {
    let values = lines
        .iter()
        .flat_map(|line| phases.iter().map(|phase| (line.value)(phase)));
    let most = values.fold(1.0_f64, f64::max);
    let y = |value: f64| top + HEIGHT * (1.0 - value / most);
    for share in [0.0, 0.5, 1.0] {
        let value = most * share;
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}h{WIDTH}\" stroke=\"#d0d7de\"/>",
            y = y(value)
        );
        text(
            svg,
            LEFT - 8.0,
            y(value) + 4.0,
            "end",
            &format!("{value:.0}"),
        );
    }
    for phase in phases {
        let x = across.x(phase.offered);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}v{HEIGHT}\" stroke=\"#eaeef2\"/>"
        );
    }
    // The steps of the ramp lie too close for a number each.
    for phase in phases.iter().step_by(2) {
        let x = across.x(phase.offered);
        let label = format!("{:.0}", phase.offered);
        text(svg, x, top + HEIGHT + 16.0, "middle", &label);
    }
    for (line, left) in lines.iter().zip([0.0, 220.0]) {
        let points = phases.iter().fold(String::new(), |mut points, phase| {
            let (x, y) = (across.x(phase.offered), y((line.value)(phase)));
            let _ = write!(points, "{x:.1},{y:.1} ");
            points
        });
        let Series { name, colour, .. } = line;
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <path d=\"M{x} {y}h20\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            x = LEFT + left,
            y = top - 14.0
        );
        text(svg, LEFT + left + 26.0, top - 10.0, "start", name);
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#1f2328\">{text}</text>"
    );
}
