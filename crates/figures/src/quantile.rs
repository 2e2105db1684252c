//! A quantile out of a histogram's buckets, by the rule of Prometheus' `histogram_quantile`.

use std::{collections::BTreeMap, time::Duration};

/// How many observations each bucket gained, by the text of its upper bound (`le`): as in the text format, each bucket
/// holds those of all smaller ones too.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<String, f64>);

impl Buckets {
    /// Several series with the same bounds are one histogram.
    pub(crate) fn add(&mut self, le: &str, count: f64) {
        *self.0.entry(le.to_owned()).or_default() += count;
    }

    /// Below which the share `quantile` (0 to 1) of all observations lies; none when there were none. Inside a bucket they
    /// are taken to be spread evenly; above the last finite bound nothing is known but that bound.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(self.0.len());
        for (le, count) in &self.0 {
            buckets.push((le.parse().ok()?, *count));
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        // A scrape is no snapshot: a bucket may lag behind a smaller one.
        let mut most = 0.0_f64;
        for (_, count) in &mut buckets {
            most = most.max(*count);
            *count = most;
        }
        let (&(highest, all), finite) = buckets.split_last()?;
        if highest != f64::INFINITY || finite.is_empty() || all <= 0.0 {
            return None;
        }
        let rank = quantile * all;
        let at = finite.iter().position(|(_, count)| *count >= rank);
        let seconds = match at {
            None => finite.last()?.0,
            Some(at) => {
                let (start, before) = at.checked_sub(1).map_or((0.0, 0.0), |below| finite[below]);
                let (end, count) = finite[at];
                start + (end - start) * (rank - before) / (count - before)
            }
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p95(buckets: &[(&str, f64)]) -> Option<f64> {
        let mut histogram = Buckets::default();
        for (le, count) in buckets {
            histogram.add(le, *count);
        }
        histogram.quantile(0.95).map(|p95| p95.as_secs_f64())
    }

    #[test]
    fn it_is_what_prometheus_answers() {
        for (buckets, expected) in [
            // All in the first bucket: from 0.
            (
                &[("0.1", 100.0), ("0.2", 100.0), ("+Inf", 100.0)][..],
                0.095,
            ),
            // Half in each: at nine tenths of the second.
            (&[("0.1", 50.0), ("0.2", 100.0), ("+Inf", 100.0)], 0.19),
            // Just on a bound.
            (&[("0.1", 95.0), ("0.2", 100.0), ("+Inf", 100.0)], 0.1),
            // Above every finite bound: the last one.
            (&[("0.1", 50.0), ("0.2", 60.0), ("+Inf", 100.0)], 0.2),
            // Empty buckets in between.
            (
                &[
                    ("0.1", 50.0),
                    ("0.2", 50.0),
                    ("0.4", 100.0),
                    ("+Inf", 100.0),
                ],
                0.38,
            ),
            // A bucket that lags behind.
            (&[("0.1", 100.0), ("0.2", 90.0), ("+Inf", 100.0)], 0.095),
        ] {
            let found = p95(buckets).unwrap();
            assert!((found - expected).abs() < 1e-9, "{buckets:?}: {found}");
        }
        for nothing in [
            &[][..],
            &[("+Inf", 7.0)],
            &[("0.1", 7.0), ("0.2", 7.0)],
            &[("0.1", 0.0), ("+Inf", 0.0)],
            &[("wide", 7.0), ("+Inf", 7.0)],
        ] {
            assert_eq!(p95(nothing), None, "{nothing:?}");
        }
    }

    proptest! {
        /// The true p95 of observations lies in the bucket in which the estimate lies.
        #[test]
        fn it_lies_in_the_bucket_of_the_observation_that_it_stands_for(
            mut observed in proptest::collection::vec(1_u32..=1_000, 1..200)
        ) {
            let bounds = [10_u32, 50, 100, 500, 1_000];
            let mut histogram = Buckets::default();
            for bound in bounds {
                let below = observed.iter().filter(|value| **value <= bound).count();
                histogram.add(&bound.to_string(), below as f64);
            }
            histogram.add("+Inf", observed.len() as f64);
            observed.sort_unstable();
            let rank = (0.95 * observed.len() as f64).ceil() as usize;
            let exact = observed[rank - 1];
            let upper = bounds.into_iter().find(|bound| exact <= *bound).unwrap();
            let lower = bounds.into_iter().rfind(|bound| exact > *bound).unwrap_or(0);
            let found = histogram.quantile(0.95).unwrap().as_secs_f64();
            prop_assert!(found > f64::from(lower) - 1e-6 && found < f64::from(upper) + 1e-6, "{found}: {lower} to {upper}");
        }
    }
}
