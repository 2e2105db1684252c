//! A picture of a report: how long requests took over time, and how many took how long. Light or dark as the reader's
//! system is; the same in words for those who cannot see it.

use std::time::Duration;

use maud::{Markup, PreEscaped, html};

use crate::{
    report::{Percentiles, Report, Slot},
    time::{readable, without_zeros},
};

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 660.0;
/// Of both panels.
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 24.0;
const UPPER: Panel = Panel {
    top: 92.0,
    bottom: 332.0,
};
const LOWER: Panel = Panel {
    top: 420.0,
    bottom: 610.0,
};
/// The height of a piece of the time in which everything failed.
const ERRORS: f64 = 40.0;
/// At both ends of an axis of times: so many times shorter and longer than any.
const ROOM: f64 = 1.3;
/// More marks than this on an axis are too many.
const MOST_MARKS: usize = 9;

const STYLE: &str = "
svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --bar: #54aeff; --p50: #0969da; --p99: #9a6700; --max: #8250df; --bad: #d1242f; background: var(--paper); font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d; --bar: #1f6feb; --p50: #58a6ff; --p99: #d29922; --max: #ab7df8; --bad: #f85149; }
}
text { fill: var(--ink); }
.faint { fill: var(--faint); }
.label { stroke: var(--paper); stroke-width: 4; paint-order: stroke; }
.heading { font-size: 15px; font-weight: 600; }
.paper { fill: var(--paper); }
.grid { stroke: var(--line); }
.curve { fill: none; stroke-width: 2; }
.p50 { stroke: var(--p50); }
.p99 { stroke: var(--p99); }
.max { stroke: var(--max); }
.mark { stroke: var(--ink); stroke-dasharray: 4 3; }
.bar { fill: var(--bar); }
.errors { fill: var(--bad); }
";

/// The picture, as a file of its own.
#[must_use]
pub fn svg(report: &Report) -> String {
    let (title, description) = (title(report), description(report));
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby="title description" {
            title id="title" { (title) }
            desc id="description" { (description) }
            style { (PreEscaped(STYLE)) }
            rect class="paper" width=(WIDTH) height=(HEIGHT) {}
            text class="heading" x=(LEFT) y="30" { (title) }
            (over_time(report))
            (distribution(report))
        }
    };
    picture.into_string() + "\n"
}

fn title(report: &Report) -> String {
    let Report { rate, length, .. } = report;
    format!(
        "{} requests at {}/s for {} s",
        report.all.requests,
        rate.asked,
        round(length.as_secs_f64())
    )
}

fn description(report: &Report) -> String {
    let Percentiles {
        p50,
        p90,
        p99,
        p99_9,
        max,
    } = report.all.latency;
    format!(
        "Of the requests half took no longer than {}, 90 % no longer than {}, 99 % no longer than {}, 99.9 % no longer than {}, \
         the slowest {}. {} failed. The rate held was {:.1}/s.",
        readable(p50),
        readable(p90),
        readable(p99),
        readable(p99_9),
        readable(max),
        report.all.errors,
        report.rate.held
    )
}

/// One of the two.
struct Panel {
    top: f64,
    bottom: f64,
}

impl Panel {
    /// From 0 at the bottom to 1 at the top.
    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }
}

/// From 0 at the left to 1 at the right.
fn x(share: f64) -> f64 {
    LEFT + share * (RIGHT - LEFT)
}

/// Times on a logarithmic axis, with some room at both ends.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let millis = times.map(|time| time.as_secs_f64() * 1e3);
        let ends = (f64::MAX, 0.0_f64);
        let (low, high) = millis.fold(ends, |(low, high), time| (low.min(time), high.max(time)));
        let high = high.max(0.01);
        Self {
            low: low.clamp(0.001, high) / ROOM,
            high: high * ROOM,
        }
    }

    fn share(&self, time: Duration) -> f64 {
        self.share_of(time.as_secs_f64() * 1e3)
    }

    fn share_of(&self, millis: f64) -> f64 {
        let millis = millis.clamp(self.low, self.high);
        (millis / self.low).ln() / (self.high / self.low).ln()
    }

    /// 1, 2 and 5 of every decade; 1 alone where that would be too many, more where it would be too few.
    fn marks(&self) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let all = |steps: &[f64]| -> Vec<f64> {
            let marks = decades
                .clone()
                .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
            marks
                .filter(|mark| (self.low..=self.high).contains(mark))
                .collect()
        };
        let marks = all(&[1.0, 2.0, 5.0]);
        match marks.len() {
            0..2 => all(&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]),
            2..=MOST_MARKS => marks,
            _ => all(&[1.0]),
        }
    }
}

fn over_time(report: &Report) -> Markup {
    let slots = &report.over_time;
    let ends = slots
        .iter()
        .flat_map(|slot| [slot.latency.p50, slot.latency.max]);
    let axis = Axis::of(ends);
    let length = report.length.as_secs_f64().max(f64::EPSILON);
    let across = |time: Duration| x((time.as_secs_f64() / length).min(1.0));
    let curve = |class: &str, latency: fn(&Percentiles) -> Duration| {
        let step = |slot: &Slot| {
            let y = UPPER.y(axis.share(latency(&slot.latency)));
            let (from, to) = (across(slot.from), across(slot.to));
            format!("{from:.1} {y:.1} {to:.1} {y:.1}")
        };
        let points: Vec<String> = slots.iter().map(step).collect();
        html! { path class={ "curve " (class) } d=(format!("M{}", points.join(" "))) {} }
    };
    html! {
        text class="heading" x=(LEFT) y=(UPPER.top - 32.0) { "How long requests took that were due then" }
        (legend())
        @for mark in axis.marks() {
            @let y = UPPER.y(axis.share_of(mark));
            path class="grid" d=(format!("M{LEFT} {y:.1}H{RIGHT}")) {}
            text class="faint" x=(LEFT - 8.0) y=(n(y + 4.0)) text-anchor="end" { (readable(millis(mark))) }
        }
        @for mark in seconds(length) {
            text class="faint" x=(n(x(mark / length))) y=(UPPER.bottom + 18.0) text-anchor="middle" { (round(mark)) " s" }
        }
        @for slot in slots.iter().filter(|slot| slot.errors > 0) {
            @let height = (slot.errors as f64 / slot.requests as f64 * ERRORS).max(2.0);
            rect class="errors" x=(n(across(slot.from))) y=(n(UPPER.bottom - height))
                width=(n(across(slot.to) - across(slot.from))) height=(n(height)) {}
        }
        @if !slots.is_empty() {
            (curve("max", |latency| latency.max))
            (curve("p99", |latency| latency.p99))
            (curve("p50", |latency| latency.p50))
        }
    }
}

fn legend() -> Markup {
    let entries = [
        ("curve p50", "half took no longer"),
        ("curve p99", "99 % took no longer"),
        ("curve max", "none took longer"),
    ];
    let y = UPPER.top - 14.0;
    html! {
        @for (number, (class, text)) in entries.into_iter().enumerate() {
            @let left = LEFT + 170.0 * number as f64;
            path class=(class) d=(format!("M{left} {y}h22")) {}
            text class="faint" x=(left + 28.0) y=(y + 4.0) { (text) }
        }
        @let left = LEFT + 510.0;
        rect class="errors" x=(left) y=(y - 6.0) width="22" height="12" {}
        text class="faint" x=(left + 28.0) y=(y + 4.0) { "failed" }
    }
}

fn distribution(report: &Report) -> Markup {
    let bars = &report.distribution;
    let axis = Axis::of(bars.iter().flat_map(|bar| [bar.from, bar.to]));
    let most = bars.iter().map(|bar| bar.requests).max().unwrap_or(1);
    let latency = report.all.latency;
    let marks = [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p99_9),
    ];
    html! {
        text class="heading" x=(LEFT) y=(LOWER.top - 24.0) { "How many requests took how long" }
        path class="grid" d=(format!("M{LEFT} {bottom}H{RIGHT}M{LEFT} {top}H{RIGHT}", bottom = LOWER.bottom, top = LOWER.top)) {}
        text class="faint" x=(LEFT - 8.0) y=(LOWER.top + 4.0) text-anchor="end" { (most) }
        text class="faint" x=(LEFT - 8.0) y=(LOWER.bottom + 4.0) text-anchor="end" { "0" }
        @for bar in bars.iter().filter(|bar| bar.requests > 0) {
            @let (from, to) = (x(axis.share(bar.from)), x(axis.share(bar.to)));
            @let height = (bar.requests as f64 / most as f64 * (LOWER.bottom - LOWER.top)).max(1.0);
            rect class="bar" x=(n(from)) y=(n(LOWER.bottom - height)) width=(n((to - from - 1.0).max(1.0))) height=(n(height)) {}
        }
        @for mark in axis.marks() {
            text class="faint" x=(n(x(axis.share_of(mark)))) y=(LOWER.bottom + 18.0) text-anchor="middle" { (readable(millis(mark))) }
        }
        @if !bars.is_empty() {
            @for (_, mark) in marks {
                path class="mark" d=(format!("M{:.1} {}V{}", x(axis.share(mark)), LOWER.top, LOWER.bottom)) {}
            }
            @for (number, (name, mark)) in marks.into_iter().enumerate() {
                @let (x, y) = (x(axis.share(mark)), LOWER.top + 14.0 + 16.0 * number as f64);
                // Towards the side that has room.
                @let (dx, anchor) = if x > WIDTH / 2.0 { (-5.0, "end") } else { (5.0, "start") };
                text class="label" x=(n(x + dx)) y=(y) text-anchor=(anchor) { (name) " " (readable(mark)) }
            }
        }
    }
}

/// Marks of an axis of seconds that starts at 0.
fn seconds(length: f64) -> Vec<f64> {
    let rough = length / 6.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * decade);
    let marks = (0..).map(|number| f64::from(number) * step);
    marks.take_while(|mark| *mark <= length * 1.001).collect()
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1e3)
}

/// A place, to a tenth of a pixel.
fn n(place: f64) -> String {
    format!("{place:.1}")
}

/// Without what is too small to matter.
fn round(number: f64) -> String {
    without_zeros(&format!("{number:.3}")).to_owned()
}

#[cfg(test)]
mod tests;
