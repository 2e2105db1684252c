//! Which kinds of requests, and how many of each to how many of the others.

use std::fmt;

use thiserror::Error;

/// More than this to one is no mix.
const LARGEST_SHARE: u32 = 1_000;

/// `place=1,read=4`: of five requests one is of the first kind, four of the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    names: Vec<String>,
    shares: Vec<u32>,
    /// The kinds in the order in which they come, again and again.
    cycle: Vec<usize>,
}

/// Why something is no mix.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadMix {
    /// Neither a name nor `name=share`.
    #[error("{0:?} is not KIND=SHARE, such as read=4")]
    Form(String),
    /// Nobody knows what to send.
    #[error("no kind {name:?}: there are {}", .known.join(", "))]
    Unknown {
        /// As it was given.
        name: String,
        /// Those that would do.
        known: Vec<String>,
    },
    /// Given twice.
    #[error("{0} is given more than once")]
    Twice(String),
    /// Out of range.
    #[error("the share of {0} is {1:?}: it must be a whole number from 0 to {LARGEST_SHARE}")]
    Share(String, String),
    /// All shares are 0.
    #[error("nothing to send: one share must be more than 0")]
    Empty,
}

impl Mix {
    /// Kinds with the share of each.
    ///
    /// # Errors
    ///
    /// When no share is more than 0, or one is too large.
    pub fn new<'n>(kinds: impl IntoIterator<Item = (&'n str, u32)>) -> Result<Self, BadMix> {
        let (mut names, mut shares) = (Vec::new(), Vec::new());
        for (name, share) in kinds.into_iter().filter(|(_, share)| *share > 0) {
            if share > LARGEST_SHARE {
                return Err(BadMix::Share(name.to_owned(), share.to_string()));
            }
            names.push(name.to_owned());
            shares.push(share);
        }
        if names.is_empty() {
            return Err(BadMix::Empty);
        }
        let cycle = cycle(&shares);
        Ok(Self {
            names,
            shares,
            cycle,
        })
    }

    /// Reads `place=1,read=4`; a name alone has the share 1.
    ///
    /// # Errors
    ///
    /// When it is not of that form, or names a kind that is not among the known ones.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, BadMix> {
        let mut shares: Vec<(&str, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let (name, share) = (name.trim(), share.trim());
            if name.is_empty() {
                return Err(BadMix::Form(part.to_owned()));
            }
            if !known.contains(&name) {
                let known = known.iter().map(|name| (*name).to_owned()).collect();
                return Err(BadMix::Unknown {
                    name: name.to_owned(),
                    known,
                });
            }
            if shares.iter().any(|(other, _)| *other == name) {
                return Err(BadMix::Twice(name.to_owned()));
            }
            let number = share.parse().ok();
            let bad = || BadMix::Share(name.to_owned(), share.to_owned());
            shares.push((name, number.ok_or_else(bad)?));
        }
        Self::new(shares)
    }

    /// The kinds that occur, in the order in which they were given.
    #[must_use]
    pub fn kinds(&self) -> &[String] {
        &self.names
    }

    /// Which kind the request with that number is of.
    #[must_use]
    pub fn kind(&self, number: u64) -> usize {
        let length = self.cycle.len() as u64;
        self.cycle[(number % length) as usize]
    }

    /// How many of the first so many requests are of that kind.
    #[must_use]
    pub fn among(&self, requests: u64, kind: usize) -> u64 {
        let length = self.cycle.len() as u64;
        let of_kind = |cycle: &[usize]| cycle.iter().filter(|of| **of == kind).count() as u64;
        let rest = (requests % length) as usize;
        requests / length * of_kind(&self.cycle) + of_kind(&self.cycle[..rest])
    }
}

/// As it is read.
impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, share)) in self.names.iter().zip(&self.shares).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{name}={share}")?;
        }
        Ok(())
    }
}

/// Each kind as often as its share says, spread evenly: every kind gains its share at every step, the one that has most
/// is taken and pays for it with all that was gained.
fn cycle(shares: &[u32]) -> Vec<usize> {
    let total: i64 = shares.iter().map(|share| i64::from(*share)).sum();
    let mut credit = vec![0_i64; shares.len()];
    let step = |_| {
        for (credit, share) in credit.iter_mut().zip(shares) {
            *credit += i64::from(*share);
        }
        let richest = (0..credit.len()).rev().max_by_key(|kind| credit[*kind]);
        let richest = richest.expect("a mix has a kind");
        credit[richest] -= total;
        richest
    };
    (0..total).map(step).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 3] = ["place", "read", "list"];

    #[test]
    fn kinds_come_in_turn_and_spread() {
        let mix = Mix::parse("place=1,read=4", &KNOWN).unwrap();
        assert_eq!(mix.kinds(), ["place", "read"]);
        let kinds: Vec<usize> = (0..10).map(|number| mix.kind(number)).collect();
        assert_eq!(kinds, [1, 1, 0, 1, 1, 1, 1, 0, 1, 1]);
        assert_eq!(Mix::parse("read", &KNOWN).unwrap().kinds(), ["read"]);
        let spaced = Mix::parse(" list = 2 , place=0", &KNOWN).unwrap();
        assert_eq!(spaced.kinds(), ["list"], "what has no share does not occur");
        assert_eq!(
            (mix.to_string(), spaced.to_string()),
            ("place=1,read=4".to_owned(), "list=2".to_owned())
        );
    }

    #[test]
    fn what_is_no_mix_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            ("", "not KIND=SHARE"),
            ("read=1,,list=1", "not KIND=SHARE"),
            ("=4", "not KIND=SHARE"),
            ("reed=4", "no kind \"reed\": there are place, read, list"),
            ("read=1,read=2", "read is given more than once"),
            ("read=many", "the share of read is \"many\""),
            ("read=-1", "from 0 to 1000"),
            ("read=1001", "from 0 to 1000"),
            ("read=1.5", "from 0 to 1000"),
            ("read=0,place=0", "one share must be more than 0"),
        ] {
            let told = Mix::parse(text, &KNOWN).unwrap_err().to_string();
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_kept_at_any_time(shares in prop::collection::vec(0_u32..50, 1..4), requests in 0_u64..1_000) {
            let Ok(mix) = Mix::new(KNOWN.into_iter().zip(shares.clone())) else {
                prop_assert!(shares.iter().all(|share| *share == 0));
                return Ok(());
            };
            let total: u32 = shares.iter().sum();
            let shares: Vec<u32> = shares.into_iter().filter(|share| *share > 0).collect();
            for (kind, share) in shares.iter().enumerate() {
                let counted = (0..requests).filter(|number| mix.kind(*number) == kind).count() as u64;
                prop_assert_eq!(mix.among(requests, kind), counted);
                // At no time far from what is due.
                let due = requests as f64 * f64::from(*share) / f64::from(total);
                prop_assert!((counted as f64 - due).abs() <= shares.len() as f64, "{} of {}", counted, due);
            }
        }
    }
}
