//! The backing servers of `mesh up --real`: each has a thread of its own that starts it, watches it, starts it again.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use mesh_backing::{Kind, Server, postgres};
use tokio::{sync::watch, time::Instant};

use crate::{
    backoff::Backoff,
    environment::{Environment, LEASE, QUEUE, SESSION, STORE},
    error::Error,
    logs,
    process::Process,
    record::visible,
    terminal::{Ink, Terminal},
    view::seconds,
};

/// How often a server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The name of the thread and the folder, and where the processes read of it.
fn variable(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => STORE,
        Kind::RabbitMq => QUEUE,
        Kind::Redis => SESSION,
        Kind::Etcd => LEASE,
    }
}

/// Those to start: all that the environment does not name already.
pub(crate) fn wanted(environment: &Environment) -> Result<Vec<Kind>, Error> {
    let wanted: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| !environment.names(variable(*kind)))
        .collect();
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|kind| kind.installed().err())
        .map(|error| error.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(wanted);
    }
    Err(Error::Missing(missing))
}

/// A running server, for people and for the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) pid: Option<u32>,
    /// Its URL without a password.
    pub(crate) shown: String,
    pub(crate) folder: PathBuf,
    /// Who reads which URL; none is everybody.
    urls: Vec<(Option<Process>, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Up(Running),
    Down,
    /// It could not be started at all: why.
    Failed(String),
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "is starting",
            Self::Up(_) => "is up",
            Self::Down => "is down",
            Self::Failed(_) => "could not be started",
            Self::Stopped => "is stopped",
        })
    }
}

type States = BTreeMap<Kind, State>;

/// How the servers are, for whoever wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Watch(watch::Receiver<States>);

impl Watch {
    /// Those that run.
    pub(crate) fn running(&self) -> Vec<(Kind, Running)> {
        let states = self.0.borrow();
        let running = states.iter().filter_map(|(kind, state)| match state {
            State::Up(running) => Some((*kind, running.clone())),
            _ => None,
        });
        running.collect()
    }

    /// Who is not up, or that all are; nothing where there are none.
    pub(crate) fn in_short(&self) -> String {
        let states = self.0.borrow();
        if states.is_empty() {
            return String::new();
        }
        match unready(&states) {
            text if text.is_empty() => {
                let names: Vec<String> = states.keys().map(ToString::to_string).collect();
                format!("{} are up, ", names.join(", "))
            }
            text => format!("{text}, "),
        }
    }

    pub(crate) fn unready(&self) -> String {
        unready(&self.0.borrow())
    }
}

fn unready(states: &States) -> String {
    let unready: Vec<String> = states
        .iter()
        .filter(|(_, state)| !matches!(state, State::Up(_)))
        .map(|(kind, state)| format!("{kind} {state}"))
        .collect();
    unready.join(", ")
}

/// All of them. Dropped, they are told to stop and not waited for: they die with us.
#[derive(Debug)]
pub(crate) struct Servers {
    states: watch::Receiver<States>,
    lives: Vec<Sender<()>>,
}

impl Servers {
    /// Begins to start them, each in a folder of its own below this one.
    pub(crate) fn start(kinds: &[Kind], folder: &Path, terminal: &Terminal) -> Result<Self, Error> {
        let starting = kinds.iter().map(|kind| (*kind, State::Starting));
        let (sender, states) = watch::channel(starting.collect());
        let sender = Arc::new(sender);
        let mut lives = Vec::new();
        for kind in kinds {
            let (life, orders) = channel();
            let keeper = Keeper {
                kind: *kind,
                folder: folder.join(kind.to_string()),
                orders,
                states: Arc::clone(&sender),
                terminal: terminal.clone(),
            };
            thread::Builder::new()
                .name(kind.to_string())
                .spawn(move || keeper.keep())
                .map_err(|source| Error::io(format!("start a thread for {kind}"), source))?;
            lives.push(life);
        }
        Ok(Self { states, lives })
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch(self.states.clone())
    }

    /// Waits until all are up, or one cannot be started.
    pub(crate) async fn up(&self) -> Result<(), Error> {
        let mut states = self.states.clone();
        let failed = |state: &State| matches!(state, State::Failed(_));
        let settled = |states: &States| unready(states).is_empty() || states.values().any(failed);
        // The threads end no sooner than they are told.
        let _states = states.wait_for(settled).await;
        let states = self.states.borrow();
        let failure = states.values().find_map(|state| match state {
            State::Failed(reason) => Some(reason.clone()),
            _ => None,
        });
        failure.map_or(Ok(()), |reason| Err(Error::Backing(reason)))
    }

    /// Tells the processes where they are.
    pub(crate) fn describe_to(&self, environment: &mut Environment) {
        for (kind, running) in self.watch().running() {
            for (process, url) in running.urls {
                environment.give(process, variable(kind), url);
            }
        }
    }

    /// Lets them finish.
    pub(crate) async fn stop(self) {
        drop(self.lives);
        let stopped = |states: &States| {
            let is_over = |state: &State| matches!(state, State::Stopped | State::Failed(_));
            states.values().all(is_over)
        };
        let mut states = self.states;
        let _states = states.wait_for(stopped).await;
    }
}

/// The thread of one server.
struct Keeper {
    kind: Kind,
    folder: PathBuf,
    /// Its end is the order to stop.
    orders: Receiver<()>,
    states: Arc<watch::Sender<States>>,
    terminal: Terminal,
}

impl Keeper {
    fn keep(self) {
        let begun = Instant::now();
        let (mut server, running) = match self.start() {
            Ok(started) => started,
            Err(error) => return self.enter(State::Failed(error.to_string())),
        };
        self.is_up(running.clone(), "ready", begun);
        let mut backoff = Backoff::new();
        let mut up_since = Instant::now();
        while !self.shall_stop_within(LOOK_EVERY) {
            if server.runs() {
                continue;
            }
            let died = Instant::now();
            let pause = backoff.pause(Some(up_since.elapsed()));
            self.enter(State::Down);
            self.mourn("ended", &server.last_lines(), pause);
            if !self.revive(&mut server, &mut backoff, pause) {
                break;
            }
            let running = Running {
                pid: server.pid(),
                ..running.clone()
            };
            self.is_up(running, "ready again", died);
            up_since = Instant::now();
        }
        let begun = Instant::now();
        server.stop();
        self.say(
            Ink::Faint,
            &format!("stopped in {}", seconds(begun.elapsed())),
        );
        self.enter(State::Stopped);
    }

    fn start(&self) -> Result<(Server, Running), mesh_backing::Error> {
        let server = Server::start(self.kind, &self.folder, 0)?;
        let urls = match self.kind {
            Kind::Postgres => databases(&server)?,
            Kind::RabbitMq | Kind::Redis | Kind::Etcd => vec![(None, server.url())],
        };
        let running = Running {
            pid: server.pid(),
            shown: without_password(&server.url()),
            folder: self.folder.clone(),
            urls,
        };
        Ok((server, running))
    }

    /// Whether it came back before it shall stop.
    fn revive(&self, server: &mut Server, backoff: &mut Backoff, mut pause: Duration) -> bool {
        loop {
            if self.shall_stop_within(pause) {
                return false;
            }
            let Err(error) = server.start_again() else {
                return true;
            };
            pause = backoff.pause(None);
            self.mourn(&error.to_string(), &[], pause);
        }
    }

    fn shall_stop_within(&self, time: Duration) -> bool {
        !matches!(
            self.orders.recv_timeout(time),
            Err(RecvTimeoutError::Timeout)
        )
    }

    fn is_up(&self, running: Running, what: &str, begun: Instant) {
        let pid = running.pid.unwrap_or_default();
        let took = seconds(begun.elapsed());
        self.say(Ink::Good, &format!("{what} in {took} (process {pid})"));
        self.enter(State::Up(running));
    }

    fn mourn(&self, what: &str, last_lines: &[String], pause: Duration) {
        let mut text = format!("{what}; starts again in {}", seconds(pause));
        for line in last_lines {
            text.push_str("\n  | ");
            text.push_str(&visible(line));
        }
        self.say(Ink::Bad, &text);
    }

    fn enter(&self, state: State) {
        self.states.send_modify(|states| {
            states.insert(self.kind, state);
        });
    }

    fn say(&self, ink: Ink, text: &str) {
        let palette = self.terminal.palette();
        let name = logs::name(&self.kind.to_string());
        self.terminal
            .say(palette.paint(Ink::Strong, &name) + " " + &palette.paint(ink, text));
    }
}

/// One for each process that has a store.
fn databases(server: &Server) -> Result<Vec<(Option<Process>, String)>, mesh_backing::Error> {
    let owners = Process::ALL
        .into_iter()
        .filter(|process| process.has_store());
    let databases = owners.map(|process| {
        let url = postgres::database(server, process.name())?;
        Ok((Some(process), url))
    });
    databases.collect()
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let Some((login, place)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(states: [(Kind, State); 2]) -> Watch {
        Watch(watch::channel(States::from(states)).1)
    }

    fn up() -> State {
        State::Up(Running {
            pid: Some(1),
            shown: "redis://127.0.0.1:2".to_owned(),
            folder: PathBuf::new(),
            urls: Vec::new(),
        })
    }

    #[test]
    fn in_short_it_is_those_that_are_not_up_or_all() {
        let all = watch([(Kind::Redis, up()), (Kind::Etcd, up())]);
        assert_eq!(all.in_short(), "redis, etcd are up, ");
        let one = watch([(Kind::Redis, State::Down), (Kind::Etcd, up())]);
        assert_eq!(one.in_short(), "redis is down, ");
        assert_eq!(Watch(watch::channel(States::new()).1).in_short(), "");
    }

    #[test]
    fn a_server_that_is_named_already_is_not_started() {
        let inherited = BTreeMap::from([
            (STORE.to_owned(), "postgres://db/shop".to_owned()),
            (QUEUE.to_owned(), "amqp://mq".to_owned()),
            (SESSION.to_owned(), "redis://cache".to_owned()),
        ]);
        let environment = Environment::new(&inherited, &[], 0).unwrap();
        assert_eq!(wanted(&environment).unwrap(), [Kind::Etcd]);
    }

    #[test]
    fn people_see_no_password() {
        let shown = without_password("postgres://postgres:secret@127.0.0.1:5/postgres");
        assert_eq!(shown, "postgres://postgres@127.0.0.1:5/postgres");
        assert_eq!(without_password("etcd://127.0.0.1:7"), "etcd://127.0.0.1:7");
    }
}
