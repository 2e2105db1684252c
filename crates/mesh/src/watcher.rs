//! What the processes count and how full the queue is, found out once a second while somebody wants to know.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_figures::Figures;
use mesh_messaging::Depth;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    backing::Watch, depth, queue, scraper::Scraper, supervisor::Handle, terminal::Terminal,
};

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whoever asked so long ago does not look any more.
const INTEREST: Duration = Duration::from_secs(5);

/// A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Watcher(Arc<Known>);

#[derive(Debug)]
struct Known {
    asked: watch::Sender<Option<Instant>>,
    depth: Mutex<Option<Depth>>,
    figures: Mutex<HashMap<String, Figures>>,
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Known {
            asked: watch::Sender::new(None),
            depth: Mutex::default(),
            figures: Mutex::default(),
        }))
    }

    /// How full the queue is; none while it is away, and for the first moment.
    pub(crate) fn depth(&self) -> Option<Depth> {
        self.ask();
        *lock(&self.0.depth)
    }

    /// Of each replica, by its name; none of it for the first second.
    pub(crate) fn figures(&self) -> HashMap<String, Figures> {
        self.ask();
        lock(&self.0.figures).clone()
    }

    fn ask(&self) {
        self.0.asked.send_replace(Some(Instant::now()));
    }

    /// Until somebody wants to know.
    async fn interest(&self) {
        let mut asked = self.0.asked.subscribe();
        // The sender is part of self: the channel cannot close meanwhile.
        let _open = asked.wait_for(|_| self.is_wanted()).await;
    }

    fn is_wanted(&self) -> bool {
        self.0
            .asked
            .borrow()
            .is_some_and(|at| at.elapsed() < INTEREST)
    }

    /// Until what is found out about the queue has somewhere to be seen.
    async fn until_shown(&self, terminal: &Terminal) {
        if !terminal.is_live() && !self.is_wanted() {
            *lock(&self.0.depth) = None;
            self.interest().await;
        }
    }

    /// Asks the processes.
    pub(crate) async fn watch_processes(&self, handle: &Handle) -> Infallible {
        let mut scraper = Scraper::new();
        loop {
            if !self.is_wanted() {
                scraper = Scraper::new();
                lock(&self.0.figures).clear();
                self.interest().await;
            }
            let next = Instant::now() + INTERVAL;
            let targets = targets(handle);
            let is_there = |name: &String| targets.iter().any(|(target, _)| target == name);
            lock(&self.0.figures).retain(|name, _| is_there(name));
            let tell = |name, found| {
                let mut figures = lock(&self.0.figures);
                match found {
                    Some(found) => figures.insert(name, found),
                    None => figures.remove(&name),
                };
            };
            scraper.round(targets, tell).await;
            sleep_until(next).await;
        }
    }

    /// Asks the queue, and shows in the line at the bottom of the terminal, where there is one, how it and the servers are.
    pub(crate) async fn watch_queue(
        &self,
        settings: &BTreeMap<String, String>,
        servers: &Watch,
        terminal: &Terminal,
    ) -> Infallible {
        self.until_shown(terminal).await;
        let Some((queue, driver)) = queue::open(settings) else {
            return pending().await;
        };
        let watch = async {
            loop {
                let depth = queue.depth().await.ok();
                *lock(&self.0.depth) = depth;
                let queue = depth::in_short(depth);
                terminal.status(&format!("{}queue: {queue}", servers.in_short()));
                sleep(INTERVAL).await;
                self.until_shown(terminal).await;
            }
        };
        tokio::select! {
            never = watch => never,
            () = driver.run() => pending().await,
        }
    }
}

/// Whom it is of use to ask.
fn targets(handle: &Handle) -> Vec<(String, SocketAddr)> {
    let view = handle.view();
    let replicas = view.borrow();
    let answer = replicas.iter().filter(|(_, status)| status.phase.answers());
    let targets = answer.filter_map(|(id, status)| Some((id.to_string(), status.process?.1.admin)));
    targets.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        process::Process,
        supervisor::tests::{Fixture, LIMIT, OBEDIENT},
        view::are_ready,
    };

    #[tokio::test(start_paused = true)]
    async fn interest_lasts_five_seconds() {
        let watcher = Watcher::new();
        assert!(!watcher.is_wanted());
        assert!(watcher.figures().is_empty() && watcher.depth().is_none());
        assert!(watcher.is_wanted());
        watcher.interest().await;
        tokio::time::advance(INTEREST - Duration::from_millis(1)).await;
        assert!(watcher.is_wanted());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!watcher.is_wanted());
        let nobody = tokio::time::timeout(INTEREST, watcher.interest()).await;
        assert!(nobody.is_err(), "until somebody asks again");
    }

    #[tokio::test]
    async fn processes_are_asked_what_they_count_only_when_somebody_wants_to_know() {
        let mesh = Fixture::new(OBEDIENT, &[Process::Orders]);
        let orders = &mesh.admins[&Process::Orders];
        let watcher = Watcher::new();
        let watch = watcher.watch_processes(&mesh.handle);
        let look = async {
            mesh.handle.scale(Process::Orders, 1).await;
            mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
            let probes = orders.probes();
            while orders.probes() < probes + 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(orders.scrapes(), 0, "nobody asked");
            while watcher.figures().is_empty() {
                tokio::task::yield_now().await;
            }
            assert!(orders.scrapes() >= 2);
            let figures = watcher.figures();
            assert!(figures["orders"].rate > 0.0, "{figures:?}");

            mesh.handle.scale(Process::Orders, 0).await;
            while !watcher.figures().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            never = watch => match never {},
            looked = tokio::time::timeout(LIMIT, look) => looked.unwrap(),
        }
    }
}
