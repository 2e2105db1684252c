//! What must hold of an overloaded service.

use std::time::Duration;

use crate::trial::{Phase, Trial};

/// The figures that are asserted.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Good answers a second at any overload, as a share of the peak.
    goodput: f64,
    /// The slowest answer of `/healthz`.
    probe: Duration,
    /// How much memory may grow in the course of one overload, as a share.
    growth: f64,
    /// From the end of the overload until all is as it was.
    recovery: Duration,
    /// What no call takes longer than, when all is as it was.
    pub(crate) normal: Duration,
}

impl Bounds {
    /// Of a release build on two CPUs of its own.
    pub(crate) const RELEASE: Self = Self {
        goodput: 0.9,
        probe: Duration::from_millis(50),
        growth: 0.1,
        recovery: Duration::from_secs(5),
        normal: Duration::from_millis(100),
    };

    /// Of any build, on a machine that does other things too.
    pub(crate) const ROUGH: Self = Self {
        goodput: 0.3,
        probe: Duration::from_millis(500),
        growth: 1.0,
        recovery: Duration::from_secs(6),
        normal: Duration::from_secs(1),
    };

    /// Those that were broken, in words.
    pub(crate) fn broken(&self, trial: &Trial) -> Vec<String> {
        let mut broken = Vec::new();
        for (factor, phase) in &trial.overloads {
            let share = phase.goodput() / trial.peak;
            if share < self.goodput {
                broken.push(format!(
                    "at {factor}x only {:.0} % of the peak is answered, not {:.0} %",
                    share * 100.0,
                    self.goodput * 100.0
                ));
            }
            let growth = growth(phase);
            if growth > self.growth {
                broken.push(format!(
                    "at {factor}x memory grows by {:.0} %, more than {:.0} %",
                    growth * 100.0,
                    self.growth * 100.0
                ));
            }
            match phase.slowest_probe() {
                Some(probe) if probe <= self.probe => {}
                Some(probe) => broken.push(format!(
                    "at {factor}x /healthz takes {probe:.0?}, more than {:?}",
                    self.probe
                )),
                None => broken.push(format!("at {factor}x /healthz does not always answer")),
            }
        }
        let recovery = trial.recovery(self.normal);
        if recovery.is_none_or(|time| time > self.recovery) {
            broken.push(format!("not back to normal within {:?}", self.recovery));
        }
        broken
    }
}

/// Memory at the end of a phase against that after its first quarter, when every buffer has been needed once.
fn growth(phase: &Phase) -> f64 {
    let quarter = phase.resident.len() / 4;
    let mean = |samples: &[u64]| {
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1);
        samples.iter().sum::<u64>() as f64 / f64::from(count)
    };
    let early = mean(&phase.resident[quarter..2 * quarter]);
    let late = mean(&phase.resident[phase.resident.len() - quarter..]);
    if early > 0.0 { late / early - 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Outcome, Sample};

    /// A second of an overload: so many good answers, the rest of a thousand shed.
    fn overload(good: usize, probe: Duration, resident: Vec<u64>) -> Phase {
        let sample = |took, outcome| Sample {
            due: Duration::ZERO,
            took,
            outcome,
        };
        let answered = vec![sample(Duration::from_millis(5), Outcome::Good); good];
        let shed = vec![sample(Duration::from_millis(1), Outcome::Shed); 1000 - good];
        Phase {
            offered: 1000.0,
            length: Duration::from_secs(1),
            calls: [answered, shed].concat(),
            probes: vec![sample(probe, Outcome::Good)],
            resident,
        }
    }

    /// With a time after the overload in which calls are shed for so long.
    fn trial(phase: Phase, shedding: Duration) -> Trial {
        let mut after = overload(0, Duration::ZERO, Vec::new());
        for (number, call) in (0..).zip(&mut after.calls) {
            call.due = Duration::from_millis(7) * number;
            if call.due >= shedding {
                call.outcome = Outcome::Good;
            }
        }
        Trial {
            ramp: Vec::new(),
            sustainable: 100.0,
            peak: 100.0,
            overloads: vec![(10, phase)],
            after,
        }
    }

    #[test]
    fn each_bound_is_held_to() {
        let (quick, soon) = (Duration::from_millis(2), Duration::from_secs(1));
        let late = Duration::from_millis(5500);
        let flat = || vec![10 << 20; 8];
        let broken = |phase, shedding| Bounds::RELEASE.broken(&trial(phase, shedding));
        assert_eq!(broken(overload(95, quick, flat()), soon), [""; 0]);
        for (phase, shedding, expected) in [
            (overload(80, quick, flat()), soon, "80 % of the peak"),
            (
                overload(95, Duration::from_millis(60), flat()),
                soon,
                "takes 60ms",
            ),
            (
                overload(95, quick, (10..18).map(|mb| mb << 20).collect()),
                soon,
                "memory grows by 32 %",
            ),
            (overload(95, quick, flat()), late, "not back to normal"),
        ] {
            let broken = broken(phase, shedding);
            assert!(
                broken.len() == 1 && broken[0].contains(expected),
                "{broken:?}"
            );
        }
    }
}
