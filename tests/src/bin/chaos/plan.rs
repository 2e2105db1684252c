//! What goes wrong when: a function of the seed, the numbers of orders and faults, and the crash points there are.
//!
//! Kinds and victims are dealt like cards, so that each comes up before any comes up again.

use std::fmt;

use mesh_chassis::Process as _;
use mesh_fulfillment::Fulfillment;
use mesh_gateway::Gateway;
use mesh_inventory::Inventory;
use mesh_orders::Orders;
use mesh_payments::Payments;
use rand::{
    Rng as _, SeedableRng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};

use crate::service::process_of;

/// The processes of the mesh. Gateway and fulfillment call the replica of orders that has their number.
pub(crate) const SERVICES: [&str; 8] = [
    "payments",
    "inventory",
    "orders-1",
    "orders-2",
    "fulfillment-1",
    "fulfillment-2",
    "gateway-1",
    "gateway-2",
];

/// What keeps their state.
pub(crate) const SERVERS: [&str; 4] = ["postgres", "rabbitmq", "redis", "etcd"];

/// Who calls whom.
pub(crate) const LINKS: [(&str, &str); 24] = [
    ("gateway-1", "orders-1"),
    ("gateway-1", "inventory"),
    ("gateway-1", "redis"),
    ("gateway-2", "orders-2"),
    ("gateway-2", "inventory"),
    ("gateway-2", "redis"),
    ("orders-1", "inventory"),
    ("orders-1", "payments"),
    ("orders-1", "postgres"),
    ("orders-1", "rabbitmq"),
    ("orders-1", "etcd"),
    ("orders-2", "inventory"),
    ("orders-2", "payments"),
    ("orders-2", "postgres"),
    ("orders-2", "rabbitmq"),
    ("orders-2", "etcd"),
    ("inventory", "postgres"),
    ("payments", "postgres"),
    ("fulfillment-1", "inventory"),
    ("fulfillment-1", "orders-1"),
    ("fulfillment-1", "rabbitmq"),
    ("fulfillment-2", "inventory"),
    ("fulfillment-2", "orders-2"),
    ("fulfillment-2", "rabbitmq"),
];

/// Where a process can be told to die: `<process>.<place>`.
pub(crate) fn crash_points() -> Vec<&'static str> {
    [
        Fulfillment::CRASH_POINTS,
        Gateway::CRASH_POINTS,
        Inventory::CRASH_POINTS,
        Orders::CRASH_POINTS,
        Payments::CRASH_POINTS,
    ]
    .concat()
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process: kill -9.
    Kill(&'static str),
    /// A process: SIGSTOP, for longer than the lease.
    Pause(&'static str),
    /// A process: dies at a named place, after so many passes.
    Crash(&'static str, &'static str, u32),
    /// A server: kill -9 and start.
    KillServer(&'static str),
    /// A server: orderly stop and start.
    RestartServer(&'static str),
    /// Connections are closed, new ones refused for a while.
    Cut(&'static str, &'static str),
    /// Requests arrive, answers do not; then the connections are closed.
    LoseAnswers(&'static str, &'static str),
    /// The lease of the reconciler is revoked.
    RevokeLease,
    /// A message that was published is published again.
    Duplicate,
    /// A message that is none.
    Poison,
}

impl Fault {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "process killed (-9)",
            Self::Pause(_) => "process paused 10 s",
            Self::Crash(..) => "crash point armed",
            Self::KillServer(_) => "server killed (-9), started",
            Self::RestartServer(_) => "server stopped, started",
            Self::Cut(..) => "connections cut 3 s",
            Self::LoseAnswers(..) => "answers lost 3 s, then cut",
            Self::RevokeLease => "lease revoked",
            Self::Duplicate => "message duplicated",
            Self::Poison => "poison published",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Kill(name)
            | Self::Pause(name)
            | Self::KillServer(name)
            | Self::RestartServer(name) => write!(f, ": {name}"),
            Self::Crash(name, point, passes) => write!(f, ": {name} at {point} + {passes}"),
            Self::Cut(from, to) | Self::LoseAnswers(from, to) => write!(f, ": {from} to {to}"),
            Self::RevokeLease | Self::Duplicate | Self::Poison => Ok(()),
        }
    }
}

/// A fault, and the order that is due when it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) at: u32,
    pub(crate) fault: Fault,
}

/// Of twenty faults; for each a card.
const KINDS: [Kind; 20] = [
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::Pause,
    Kind::Pause,
    Kind::Crash,
    Kind::Crash,
    Kind::Crash,
    Kind::Crash,
    Kind::KillServer,
    Kind::KillServer,
    Kind::RestartServer,
    Kind::Cut,
    Kind::Cut,
    Kind::LoseAnswers,
    Kind::LoseAnswers,
    Kind::RevokeLease,
    Kind::Duplicate,
    Kind::Duplicate,
    Kind::Poison,
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Kill,
    Pause,
    Crash,
    KillServer,
    RestartServer,
    Cut,
    LoseAnswers,
    RevokeLease,
    Duplicate,
    Poison,
}

/// Most passes that a crash point lets by.
const MOST_PASSES: u32 = 3;

/// The plan. Faults come evenly, after the first orders and before the last.
pub(crate) fn plan(seed: u64, orders: u32, faults: u32, points: &[&'static str]) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut kinds = Deck::new(&KINDS);
    let (mut services, mut paused) = (Deck::new(&SERVICES), Deck::new(&SERVICES));
    let (mut killed, mut restarted) = (Deck::new(&SERVERS), Deck::new(&SERVERS));
    let mut links = Deck::new(&LINKS);
    let mut points = Deck::new(points);
    let mut fault = |random: &mut StdRng| match kinds.deal(random) {
        Kind::Kill => Fault::Kill(services.deal(random)),
        Kind::Pause => Fault::Pause(paused.deal(random)),
        Kind::Crash => {
            let point = points.deal(random);
            let name = *replicas(point).choose(random).expect("every process runs");
            Fault::Crash(name, point, random.random_range(0..=MOST_PASSES))
        }
        Kind::KillServer => Fault::KillServer(killed.deal(random)),
        Kind::RestartServer => Fault::RestartServer(restarted.deal(random)),
        Kind::Cut => {
            let (from, to) = links.deal(random);
            Fault::Cut(from, to)
        }
        Kind::LoseAnswers => {
            let (from, to) = links.deal(random);
            Fault::LoseAnswers(from, to)
        }
        Kind::RevokeLease => Fault::RevokeLease,
        Kind::Duplicate => Fault::Duplicate,
        Kind::Poison => Fault::Poison,
    };
    let planned = |number: u32| {
        let at = u64::from(orders) * u64::from(number + 1) / u64::from(faults + 1);
        Planned {
            at: u32::try_from(at).unwrap_or(orders),
            fault: fault(&mut random),
        }
    };
    (0..faults).map(planned).collect()
}

/// The processes that have this crash point.
fn replicas(point: &str) -> Vec<&'static str> {
    let of = |name: &&&str| point.split('.').next() == Some(process_of(name));
    SERVICES.iter().filter(of).copied().collect()
}

/// Cards that are dealt, and shuffled when there are none left.
struct Deck<'a, T> {
    all: &'a [T],
    left: Vec<T>,
}

impl<'a, T: Copy> Deck<'a, T> {
    fn new(all: &'a [T]) -> Self {
        Self {
            all,
            left: Vec::new(),
        }
    }

    fn deal(&mut self, random: &mut StdRng) -> T {
        if self.left.is_empty() {
            self.left.extend(self.all);
            self.left.shuffle(random);
        }
        self.left.pop().expect("no deck is empty")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_plan_is_made_of_the_seed() {
        let plan = |seed| plan(seed, 5_000, 20, &crash_points());
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn faults_come_evenly_and_twenty_are_of_every_kind() {
        for seed in 0..10 {
            let plan = plan(seed, 5_000, 20, &crash_points());
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            for (number, planned) in (1..).zip(&plan) {
                assert_eq!(planned.at, 5_000 * number / 21);
                *kinds.entry(planned.fault.kind()).or_default() += 1;
            }
            assert_eq!((plan.len(), kinds.len()), (20, 10), "{kinds:?}");
        }
    }

    #[test]
    fn two_hundred_strike_everything() {
        let points = crash_points();
        let plan = plan(3, 100_000, 200, &points[..30]);
        let struck = |fault: Fault| plan.iter().any(|planned| planned.fault == fault);
        for name in SERVICES {
            assert!(
                struck(Fault::Kill(name)) && struck(Fault::Pause(name)),
                "{name}"
            );
        }
        for name in SERVERS {
            let both = struck(Fault::KillServer(name)) && struck(Fault::RestartServer(name));
            assert!(both, "{name}");
        }
        let linked = |(from, to): (&'static str, &'static str)| {
            struck(Fault::Cut(from, to)) || struck(Fault::LoseAnswers(from, to))
        };
        assert!(LINKS.into_iter().all(linked));
        for point in &points[..30] {
            let armed = |planned: &Planned| {
                matches!(planned.fault, Fault::Crash(name, armed, _)
                    if armed == *point && point.starts_with(process_of(name)))
            };
            assert!(plan.iter().any(armed), "{point}");
        }
    }
}
