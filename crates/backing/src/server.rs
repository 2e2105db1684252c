//! One running server.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Kind, Options, etcd,
    keeper::Keeper,
    place::{Place, Plan},
    postgres, rabbitmq, redis,
};

/// For a server to answer, on a machine that is busy; asked so often.
const ASK_EVERY: Duration = Duration::from_millis(100);
const MOST_ASKED: u32 = 900;
/// For a server to stop in order.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Starts, when others take our ports.
const TRIES: u32 = 3;
/// Of what it says, for people.
const LAST_LINES: usize = 8;
const LAST_BYTES: u64 = 4096;

/// A server of our own, on loopback. Its processes end with this value and with our process.
#[derive(Debug)]
pub struct Server {
    place: Place,
    plan: Plan,
    /// None after [`kill`](Self::kill) and [`stop`](Self::stop).
    keeper: Option<Keeper>,
    temporary: Option<TempDir>,
}

impl Server {
    /// Starts one on that port of 127.0.0.1, a free one if it is 0, with its data in `folder`, which is made when missing and used
    /// again when there; returns when it answers its own protocol.
    ///
    /// # Errors
    /// It is not installed, its port is taken, it ends by itself, it does not answer.
    pub fn start(kind: Kind, folder: &Path, port: u16) -> Result<Self, Error> {
        Self::start_with(kind, folder, port, Options::default())
    }

    /// As [`start`](Self::start), otherwise than usual.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        kind: Kind,
        folder: &Path,
        port: u16,
        options: Options,
    ) -> Result<Self, Error> {
        unless_taken(|| Self::in_place(Place::new(kind, folder, port, options)?, None))
    }

    /// One on a free port for a test: careless, and its folder goes with this value or with our process.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn temporary(kind: Kind, options: Options) -> Result<Self, Error> {
        let options = Options {
            careless: true,
            ..options
        };
        unless_taken(|| {
            let folder = tempfile::Builder::new()
                .prefix(&format!("mesh-{kind}-"))
                .tempdir()
                .map_err(|error| Error::io(kind, "make a temporary folder", error))?;
            let place = Place::new(kind, folder.path(), 0, options)?;
            Self::in_place(place, Some(folder))
        })
    }

    fn in_place(place: Place, temporary: Option<TempDir>) -> Result<Self, Error> {
        let mut server = Self {
            plan: place.plan()?,
            place,
            keeper: None,
            temporary,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.place.kind
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Where RabbitMQ's management API listens, if it was asked for.
    pub fn management_port(&self) -> Option<u16> {
        self.place.management
    }

    /// For `MESH_STORE_URL`, `MESH_QUEUE_URL`, `MESH_SESSION_URL` or `MESH_LEASE_URL`.
    pub fn url(&self) -> String {
        match self.place.kind {
            Kind::Postgres => postgres::url(&self.place),
            Kind::RabbitMq => rabbitmq::url(&self.place),
            Kind::Redis => redis::url(&self.place),
            Kind::Etcd => etcd::url(&self.place),
        }
    }

    /// The number of its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.place.folder.join("pid"));
        text.ok()?.trim().parse().ok().filter(|_pid| self.runs())
    }

    /// Whether it has neither been ended nor ended by itself.
    pub fn runs(&self) -> bool {
        let ended = |keeper: &Keeper| keeper.has_ended(Duration::ZERO);
        self.keeper.as_ref().is_some_and(|keeper| !ended(keeper))
    }

    /// What it said last.
    pub fn last_lines(&self) -> Vec<String> {
        let text = self.log_from(self.log_length().saturating_sub(LAST_BYTES));
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        lines[last..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    fn log_length(&self) -> u64 {
        let log = fs::metadata(self.place.folder.join("log"));
        log.map_or(0, |log| log.len())
    }

    fn log_from(&self, start: u64) -> String {
        let mut bytes = Vec::new();
        // One that cannot be read says nothing.
        let _nothing = File::open(self.place.folder.join("log")).and_then(|mut log| {
            log.seek(SeekFrom::Start(start))?;
            log.read_to_end(&mut bytes)
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills all its processes, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.kill();
        }
    }

    /// Lets it finish.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.order("resume", "resumed");
            keeper.send(self.plan.stop);
            keeper.has_ended(STOP_LIMIT);
            keeper.kill();
        }
    }

    /// After [`kill`](Self::kill), [`stop`](Self::stop) or its own end: in the same folder, on the same port.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.kill();
        let kind = self.place.kind;
        let said_before = self.log_length();
        let keeper = Keeper::start(&self.place, &self.plan, self.temporary.is_some())
            .map_err(|error| Error::io(kind, "start sh", error))?;
        self.keeper = Some(keeper);
        let outcome = self.wait_for_an_answer(said_before);
        if outcome.is_err() {
            self.kill();
        }
        outcome
    }

    fn wait_for_an_answer(&self, said_before: u64) -> Result<(), Error> {
        for _ in 0..MOST_ASKED {
            let ended = |keeper: &Keeper| keeper.has_ended(ASK_EVERY);
            let said = || self.log_from(said_before).contains(self.plan.started);
            if self.place.answers() && said() && self.runs() {
                return Ok(());
            }
            if self.keeper.as_ref().is_none_or(ended) {
                return Err(Error::Failed {
                    kind: self.place.kind,
                    what: "the server",
                    last_lines: self.last_lines(),
                });
            }
        }
        Err(Error::Silent {
            kind: self.place.kind,
            port: self.place.port,
            seconds: u64::from(MOST_ASKED / 10),
            last_lines: self.last_lines(),
        })
    }

    /// Stops the clock of all its processes (SIGSTOP).
    pub fn pause(&mut self) {
        self.order("pause", "paused");
    }

    /// Lets them go on (SIGCONT).
    pub fn resume(&mut self) {
        self.order("resume", "resumed");
    }

    fn order(&mut self, word: &str, answer: &str) {
        if let Some(keeper) = &mut self.keeper {
            keeper.order(word, answer);
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        self.plan.environment.iter().cloned()
    }
}

/// Starts a server, on other ports if somebody takes one of them meanwhile.
fn unless_taken(start: impl Fn() -> Result<Server, Error>) -> Result<Server, Error> {
    for _ in 1..TRIES {
        match start() {
            Err(error) if error.is_port_conflict() => {}
            outcome => return outcome,
        }
    }
    start()
}
