//! The table.

use std::{fmt::Write as _, time::Duration};

use crate::{
    load::{Outcome, percentile},
    trial::{Phase, Trial},
};

/// Every load in the order of the trial, then the figures about all of it.
pub(crate) fn table(trial: &Trial, normal: Duration) -> String {
    let mut text = String::from(
        "| load | offered/s | good/s | of the peak | shed/s | failed/s | p50 | p99 | slowest /healthz | memory |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for phase in &trial.ramp {
        text.push_str(&line("", phase, trial.peak));
    }
    for (factor, phase) in &trial.overloads {
        text.push_str(&line(&format!("{factor}x"), phase, trial.peak));
    }
    let recovery = trial.recovery(normal).map_or_else(
        || "not while watched".to_owned(),
        |time| format!("{time:?}"),
    );
    let _ = writeln!(
        text,
        "\nsustainable: {:.0}/s, peak: {:.0}/s, back to normal after: {recovery}",
        trial.sustainable, trial.peak
    );
    text
}

fn line(load: &str, phase: &Phase, peak: f64) -> String {
    format!(
        "| {load} | {:.0} | {:.0} | {:.0} % | {:.0} | {:.0} | {} | {} | {} | {:.1} MB |\n",
        phase.offered,
        phase.goodput(),
        phase.goodput() / peak * 100.0,
        phase.rate(Outcome::Shed),
        phase.rate(Outcome::Failed),
        ms(percentile(&phase.calls, 50)),
        ms(percentile(&phase.calls, 99)),
        phase.slowest_probe().map_or_else(|| "none".to_owned(), ms),
        phase.most_resident() as f64 / 1e6,
    )
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
