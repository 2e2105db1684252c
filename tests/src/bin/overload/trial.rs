//! The course of a measurement: a ramp finds what the service can do, overloads follow, then half load shows how soon all
//! is as it was.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    load::{Load, Outcome, Sample, count, percentile},
    target::Target,
};

/// Steps of the ramp, in percent of what the cost alone would allow.
const RAMP: [u32; 11] = [10, 20, 40, 60, 70, 75, 80, 85, 90, 95, 100];
/// A load is sustainable when so many of a hundred calls are answered.
const SUSTAINED: usize = 99;
/// An answer after this is as good as none: the service's own limit on a request.
const TIMELY: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// What is looked at as one when time to normal is measured.
const WINDOW: Duration = Duration::from_millis(250);
/// All is as it was after so many normal windows in a row.
const NORMAL_WINDOWS: usize = 4;
/// How long half load is watched after the overloads.
const RECOVERY: Duration = Duration::from_secs(7);

/// How long everything lasts.
#[derive(Debug)]
pub(crate) struct Dose {
    pub(crate) step: Duration,
    pub(crate) length: Duration,
    pub(crate) factors: Vec<u32>,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) ramp: Vec<Phase>,
    /// The highest load of the ramp that was sustained, in calls a second.
    pub(crate) sustainable: f64,
    /// The most good answers a second at any step of the ramp.
    pub(crate) peak: f64,
    pub(crate) overloads: Vec<(u32, Phase)>,
    /// Half of the sustainable load, right behind the last overload.
    pub(crate) after: Phase,
}

/// One load for some time.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Calls a second.
    pub(crate) offered: f64,
    pub(crate) length: Duration,
    pub(crate) calls: Vec<Sample>,
    pub(crate) probes: Vec<Sample>,
    /// Bytes, once per probe.
    pub(crate) resident: Vec<u64>,
}

/// A phase whose last calls are still out.
struct Sent {
    offered: f64,
    length: Duration,
    calls: Load,
    probes: Load,
    resident: Vec<u64>,
}

impl Trial {
    pub(crate) async fn run(target: &Target, cost: Duration, dose: &Dose) -> anyhow::Result<Self> {
        let most = cost.as_secs_f64().recip();
        let mut ramp = Vec::new();
        for percent in RAMP {
            let offered = most * f64::from(percent) / 100.0;
            ramp.push(send(target, offered, dose.step).await?.finish().await);
        }
        let sustained = ramp.iter().filter(|phase| phase.sustained());
        let sustainable = sustained.map(|phase| phase.offered).fold(0.0, f64::max);
        anyhow::ensure!(sustainable > 0.0, "not even the lightest load is sustained");
        let peak = ramp.iter().map(Phase::goodput).fold(0.0, f64::max);

        let mut overloads = Vec::new();
        let mut last = None;
        for factor in &dose.factors {
            if let Some((factor, sent)) = last.take() {
                overloads.push((factor, Sent::finish(sent).await));
            }
            let sent = send(target, sustainable * f64::from(*factor), dose.length).await?;
            last = Some((*factor, sent));
        }
        // At once, while the last overload's answers are still coming.
        let after = send(target, sustainable / 2.0, RECOVERY).await?;
        if let Some((factor, sent)) = last {
            overloads.push((factor, sent.finish().await));
        }
        Ok(Self {
            ramp,
            sustainable,
            peak,
            overloads,
            after: after.finish().await,
        })
    }

    /// From the end of the last overload until all calls were answered within `normal` again; `None`: not while it was
    /// watched.
    pub(crate) fn recovery(&self, normal: Duration) -> Option<Duration> {
        time_to_normal(&self.after.calls, normal)
    }
}

/// Offers a load, and probes meanwhile.
async fn send(target: &Target, offered: f64, length: Duration) -> anyhow::Result<Sent> {
    let calls = Load::offer(offered, length, || target.call());
    let probes = Load::offer(PROBE_EVERY.as_secs_f64().recip(), length, || target.probe());
    let mut load = std::pin::pin!(async { tokio::join!(calls, probes) });
    let mut resident = Vec::new();
    let mut look = interval(PROBE_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (calls, probes) = loop {
        tokio::select! {
            sent = &mut load => break sent,
            _ = look.tick() => resident.push(target.resident()?),
        }
    };
    Ok(Sent {
        offered,
        length,
        calls,
        probes,
        resident,
    })
}

impl Sent {
    async fn finish(self) -> Phase {
        let Self {
            offered,
            length,
            calls,
            probes,
            resident,
        } = self;
        let mut calls = calls.finish().await;
        for call in &mut calls {
            if call.outcome == Outcome::Good && call.took > TIMELY {
                call.outcome = Outcome::Failed;
            }
        }
        Phase {
            offered,
            length,
            calls,
            probes: probes.finish().await,
            resident,
        }
    }
}

impl Phase {
    /// Good answers a second.
    pub(crate) fn goodput(&self) -> f64 {
        self.rate(Outcome::Good)
    }

    /// Calls a second that ended so.
    pub(crate) fn rate(&self, outcome: Outcome) -> f64 {
        let calls = u32::try_from(count(&self.calls, outcome)).unwrap_or(u32::MAX);
        f64::from(calls) / self.length.as_secs_f64()
    }

    /// The slowest answer of `/healthz`; `None` when one did not come or was not 200.
    pub(crate) fn slowest_probe(&self) -> Option<Duration> {
        let all_good = count(&self.probes, Outcome::Failed) == 0;
        all_good.then(|| percentile(&self.probes, 100))
    }

    /// The most memory there was, in bytes.
    pub(crate) fn most_resident(&self) -> u64 {
        self.resident.iter().copied().max().unwrap_or_default()
    }

    fn sustained(&self) -> bool {
        count(&self.calls, Outcome::Good) * 100 >= self.calls.len() * SUSTAINED
    }
}

/// When the first of enough normal windows in a row begins.
fn time_to_normal(calls: &[Sample], within: Duration) -> Option<Duration> {
    let windows = RECOVERY.div_duration_f64(WINDOW) as usize;
    let mut normal = vec![true; windows];
    for call in calls {
        let window = call.due.div_duration_f64(WINDOW) as usize;
        if call.outcome != Outcome::Good || call.took > within {
            normal[window.min(windows - 1)] = false;
        }
    }
    let all_normal = |run: &[bool]| run.iter().all(|normal| *normal);
    let first = normal.windows(NORMAL_WINDOWS).position(all_normal)?;
    u32::try_from(first).ok().map(|first| WINDOW * first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(due: u64, took: u64, outcome: Outcome) -> Sample {
        let [due, took] = [due, took].map(Duration::from_millis);
        Sample { due, took, outcome }
    }

    #[test]
    fn normal_is_when_nothing_is_slow_or_refused_any_more() {
        let good = |due| call(due, 6, Outcome::Good);
        let all: Vec<_> = (0..70).map(|n| good(n * 100)).collect();
        assert_eq!(
            time_to_normal(&all, Duration::from_millis(100)),
            Some(Duration::ZERO)
        );
        let shed = [all.clone(), vec![call(600, 1, Outcome::Shed)]].concat();
        assert_eq!(
            time_to_normal(&shed, Duration::from_millis(100)),
            Some(Duration::from_millis(750))
        );
        let slow = [all, vec![call(1_250, 101, Outcome::Good)]].concat();
        assert_eq!(
            time_to_normal(&slow, Duration::from_millis(100)),
            Some(Duration::ZERO)
        );
        let never: Vec<_> = (0..14).map(|n| call(n * 500, 1, Outcome::Failed)).collect();
        assert_eq!(time_to_normal(&never, Duration::from_millis(100)), None);
    }
}
