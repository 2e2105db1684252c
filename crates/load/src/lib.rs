//! Requests at a fixed rate, whatever becomes of them, and how long each took since it was due.
//!
//! ```text
//!  Plan ─► alarm ─► request 0, 1, 2, … each when it is due ─► Target ─► Outcome
//!  (rate,  (exact   (one task each, none waits for another)     │
//!   length, times)                                              ▼
//!   mix)                      Watch ◄── measures: histograms of fixed size ──► Report ─► svg
//!                          (meanwhile)                                       (afterwards)
//! ```
//!
//! A server that is slow cannot slow down those who measure it: requests leave when they are due, and their time counts
//! from then, also when they left late. Memory does not grow with their number, but with those that are in flight, and of
//! these there is a limit. Whether the rate was held is part of the result.

mod alarm;
mod client;
mod generator;
mod measures;
mod mix;
mod outcome;
mod plan;
mod report;
mod svg;
mod time;

pub use self::{
    client::{Answer, Client},
    generator::{Generator, Target},
    measures::{Snapshot, Watch},
    mix::{BadMix, Mix},
    outcome::{Failure, Outcome},
    plan::Plan,
    report::{Bar, KindReport, OutcomeReport, Percentiles, Rate, Report, Slot},
    svg::svg,
    time::readable,
};
