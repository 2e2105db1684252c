//! What the map shows: replicas, their figures summed per process, the queue.

use std::{collections::BTreeMap, time::Duration};

use mesh_figures::{Call, Figures};

use crate::{
    figure,
    mesh::{Mesh, Queue, Replica, State},
};

/// Of one replica, in the sentence about all.
const DESCRIPTION: usize = 80;

/// The mesh at one moment.
#[derive(Debug)]
pub(crate) struct Picture {
    /// In display order.
    pub(crate) processes: Vec<Process>,
    pub(crate) queue: Option<Queue>,
}

/// All replicas of a process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) replicas: Vec<(Replica, Option<Figures>)>,
    /// Of all of them; none while nothing is known.
    pub(crate) figures: Option<Figures>,
}

impl Picture {
    pub(crate) fn of(mesh: &impl Mesh) -> Self {
        let mut figures = mesh.figures();
        let mut processes: Vec<Process> = Vec::new();
        for replica in mesh.replicas() {
            let known = figures.remove(&replica.name);
            let name = &replica.process;
            let index = processes.iter().position(|process| process.name == *name);
            let index = index.unwrap_or_else(|| {
                processes.push(Process {
                    name: name.clone(),
                    replicas: Vec::new(),
                    figures: None,
                });
                processes.len() - 1
            });
            processes[index].replicas.push((replica, known));
        }
        for process in &mut processes {
            process.figures = sum(process
                .replicas
                .iter()
                .filter_map(|(_, known)| known.as_ref()));
        }
        Self {
            processes,
            queue: mesh.queue(),
        }
    }

    pub(crate) fn process(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == name)
    }

    /// The calls from a process to a peer, when it makes any.
    pub(crate) fn call(&self, from: &str, to: &str) -> Option<&Call> {
        let calls = &self.process(from)?.figures.as_ref()?.calls;
        calls.iter().find(|call| call.peer == to)
    }

    /// Messages per second that the queue is given; none while nothing is known.
    pub(crate) fn published(&self) -> Option<f64> {
        self.total(|figures| figures.published)
    }

    /// Messages per second that it is rid of.
    pub(crate) fn consumed(&self) -> Option<f64> {
        self.total(|figures| figures.consumed)
    }

    fn total(&self, figure: fn(&Figures) -> f64) -> Option<f64> {
        let known = self.processes.iter().flat_map(|process| &process.figures);
        known.map(figure).reduce(|all, one| all + one)
    }

    /// How the mesh is, in one sentence: it changes when a state does, not with every figure.
    pub(crate) fn sentence(&self) -> String {
        let replicas = || self.processes.iter().flat_map(|process| &process.replicas);
        let unready: Vec<String> = replicas()
            .filter(|(replica, _)| replica.state != State::Ready)
            .map(|(replica, _)| describe(replica))
            .collect();
        let all = replicas().count();
        match &unready[..] {
            [] if all == 0 => "Nothing runs.".to_owned(),
            [] => format!("All {all} replicas are ready."),
            [one] => format!("{one}; {} of {all} replicas are ready.", all - 1),
            some => {
                let ready = all - some.len();
                format!("{}; {ready} of {all} replicas are ready.", some.join(", "))
            }
        }
    }
}

fn describe(replica: &Replica) -> String {
    let Replica { name, state, .. } = replica;
    let text = match state {
        State::Waiting(_) => format!("{name} {state}"),
        other => format!("{name} is {other}"),
    };
    figure::cut(&text, DESCRIPTION)
}

impl Process {
    /// The word for the state that deserves most attention.
    pub(crate) fn word(&self) -> &'static str {
        let states = self.replicas.iter().map(|(replica, _)| &replica.state);
        let worst = states.max_by_key(|state| match state {
            State::Ready => 0,
            State::Stopping => 1,
            State::Starting => 2,
            State::Waiting(_) => 3,
            State::Paused => 4,
            State::Down => 5,
        });
        worst.map_or("none", State::word)
    }

    /// `ready`, `waits for store`, `2 of 3 ready`.
    pub(crate) fn readiness(&self) -> String {
        match &self.replicas[..] {
            [] => "not running".to_owned(),
            [(one, _)] => one.state.to_string(),
            some => {
                let ready = some.iter().filter(|(one, _)| one.state == State::Ready);
                format!("{} of {} ready", ready.count(), some.len())
            }
        }
    }

    /// Requests or messages per second.
    pub(crate) fn work(&self) -> Option<f64> {
        self.figures.as_ref().map(work)
    }
}

/// What a replica is there for: requests of some, messages of others.
pub(crate) fn work(figures: &Figures) -> f64 {
    figures.rate + figures.consumed
}

/// Rates add up; of the percentiles the worst stands for all.
fn sum<'a>(replicas: impl Iterator<Item = &'a Figures>) -> Option<Figures> {
    let mut all = None::<Figures>;
    let mut calls = BTreeMap::<&str, Call>::new();
    for one in replicas {
        let all = all.get_or_insert_default();
        all.rate += one.rate;
        all.errors += one.errors;
        all.p95 = all.p95.max(one.p95);
        all.in_flight += one.in_flight;
        all.rss += one.rss;
        all.published += one.published;
        all.consumed += one.consumed;
        for call in &one.calls {
            let of_peer = calls.entry(&call.peer).or_insert_with(|| Call {
                peer: call.peer.clone(),
                rate: 0.0,
                errors: 0.0,
                p95: None,
            });
            of_peer.rate += call.rate;
            of_peer.errors += call.errors;
            of_peer.p95 = of_peer.p95.max(call.p95);
        }
    }
    let mut all = all?;
    all.calls = calls.into_values().collect();
    Some(all)
}

/// Rate, p95 and errors as texts: the least that is said of a process or a call.
pub(crate) struct Told {
    pub(crate) rate: String,
    pub(crate) p95: String,
    pub(crate) errors: String,
    pub(crate) is_busy: bool,
    pub(crate) has_errors: bool,
}

impl Told {
    pub(crate) fn new(rate: f64, p95: Option<Duration>, errors: f64) -> Self {
        Self {
            rate: figure::rate(rate),
            p95: figure::maybe(p95),
            errors: figure::rate(errors),
            is_busy: rate > 0.0,
            has_errors: errors > 0.0,
        }
    }

    pub(crate) fn of_call(call: Option<&Call>) -> Option<Self> {
        call.map(|call| Self::new(call.rate, call.p95, call.errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::replica;

    fn figures(rate: f64, p95: u64, peer: &str) -> Figures {
        Figures {
            rate,
            errors: 1.0,
            p95: Some(Duration::from_millis(p95)),
            in_flight: 2,
            calls: vec![Call {
                peer: peer.to_owned(),
                rate,
                errors: 0.5,
                p95: None,
            }],
            ..Figures::default()
        }
    }

    #[test]
    fn rates_add_up_and_the_worst_percentile_stands_for_all() {
        let all = [figures(1.0, 30, "a"), figures(2.0, 20, "a")];
        let sum = sum(all.iter()).unwrap();
        assert_eq!((sum.rate, sum.errors, sum.in_flight), (3.0, 2.0, 4));
        assert_eq!(sum.p95, Some(Duration::from_millis(30)));
        let [call] = &sum.calls[..] else {
            panic!("{:?}", sum.calls)
        };
        assert_eq!((call.rate, call.errors), (3.0, 1.0));
    }

    #[test]
    fn the_sentence_names_who_is_not_ready() {
        let picture = |states: &[State]| {
            let process = Process {
                name: "orders".to_owned(),
                replicas: states
                    .iter()
                    .enumerate()
                    .map(|(index, state)| (replica("orders", index + 1, state.clone()), None))
                    .collect(),
                figures: None,
            };
            Picture {
                processes: vec![process],
                queue: None,
            }
        };
        let waiting = State::Waiting(vec!["store".to_owned()]);
        for (states, sentence, word, readiness) in [
            (&[][..], "Nothing runs.", "none", "not running"),
            (
                &[State::Ready],
                "All 1 replicas are ready.",
                "ready",
                "ready",
            ),
            (
                &[State::Ready, State::Down],
                "orders-2 is down; 1 of 2 replicas are ready.",
                "down",
                "1 of 2 ready",
            ),
            (
                &[waiting.clone(), State::Paused, State::Ready],
                "orders waits for store, orders-2 is paused; 1 of 3 replicas are ready.",
                "paused",
                "1 of 3 ready",
            ),
        ] {
            let picture = picture(states);
            assert_eq!(picture.sentence(), sentence);
            assert_eq!(picture.processes[0].word(), word);
            assert_eq!(picture.processes[0].readiness(), readiness);
        }
    }
}
