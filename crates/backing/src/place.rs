//! What to start, where, and how.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use crate::{
    Error, etcd, find,
    ports::{self, Ports},
    postgres, rabbitmq, redis,
};

/// For a former server in the folder to be gone.
const LOCK_EVERY: Duration = Duration::from_millis(100);
const LOCK_TRIES: u32 = 150;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For stores.
    Postgres,
    /// For the queue.
    RabbitMq,
    /// For sessions.
    Redis,
    /// For leases.
    Etcd,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::Etcd => "etcd",
        })
    }
}

/// How to run it. By default nothing that was acknowledged is lost with the power, and nothing is enabled that is not needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Faster (PostgreSQL): what was acknowledged survives every death of the server, but not the loss of power.
    pub careless: bool,
    /// RabbitMQ's management API on this port; 0 is a free one.
    pub management: Option<u16>,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::RabbitMq, Self::Redis, Self::Etcd];

    /// Whether it could be started here.
    ///
    /// # Errors
    /// One of its programs is missing.
    pub fn installed(self) -> Result<(), Error> {
        let programs = match self {
            Self::Postgres => &postgres::PROGRAMS[..],
            Self::RabbitMq => &rabbitmq::PROGRAMS[..],
            Self::Redis => &redis::PROGRAMS[..],
            Self::Etcd => &etcd::PROGRAMS[..],
        };
        let keeper = [("ps", "procps"), ("awk", "mawk")];
        for (program, package) in programs.iter().chain(&keeper) {
            find::program(self, program, package)?;
        }
        Ok(())
    }
}

/// Where it is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// Absolute.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    /// Of RabbitMQ.
    pub(crate) management: Option<u16>,
    /// For what it needs besides: two are enough for each.
    pub(crate) others: [u16; 2],
    pub(crate) careless: bool,
    /// Held by us and by the keeper: nobody else's server runs in the folder.
    lock: File,
    _ports: Ports,
}

impl Place {
    /// Makes the folder and chooses the ports.
    pub(crate) fn new(
        kind: Kind,
        folder: &Path,
        port: u16,
        options: Options,
    ) -> Result<Self, Error> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| folder.canonicalize());
        let folder =
            made.map_err(|error| Error::io(kind, format!("make {}", folder.display()), error))?;
        let lock = lock(kind, &folder)?;
        let mut ports = Ports::default();
        let mut free = || {
            let none = || io::Error::other("none of those tried is");
            let found = ports.find().ok_or_else(none);
            found.map_err(|error| Error::io(kind, "find a free port", error))
        };
        let (free, free_management, others) = (free()?, free()?, [free()?, free()?]);
        let or_free = |port, free| if port == 0 { free } else { port };
        let place = Self {
            kind,
            folder,
            port: or_free(port, free),
            management: options
                .management
                .filter(|_port| kind == Kind::RabbitMq)
                .map(|port| or_free(port, free_management)),
            others,
            careless: options.careless,
            lock,
            _ports: ports,
        };
        match place.taken() {
            Some(port) => Err(Error::PortTaken { kind, port }),
            None => Ok(place),
        }
    }

    fn taken(&self) -> Option<u16> {
        let mut ports = [self.port].into_iter().chain(self.management);
        ports.find(|port| !ports::is_free(*port))
    }

    /// For a child that uses the folder: it holds the lock too.
    pub(crate) fn lock(&self) -> io::Result<Stdio> {
        self.lock.try_clone().map(Stdio::from)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        fs::write(self.folder.join(name), text)
            .map_err(|error| Error::io(self.kind, format!("write {name}"), error))
    }

    /// Prepares the folder; how to start the server in it.
    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        match self.kind {
            Kind::Postgres => postgres::plan(self),
            Kind::RabbitMq => rabbitmq::plan(self),
            Kind::Redis => redis::plan(self),
            Kind::Etcd => etcd::plan(self),
        }
    }

    /// Whether the server answers its own protocol, and is not busy starting.
    pub(crate) fn answers(&self) -> bool {
        let answer = match self.kind {
            Kind::Postgres => postgres::answers(self.port),
            Kind::RabbitMq => rabbitmq::answers(self.port),
            Kind::Redis => redis::answers(self.port),
            Kind::Etcd => etcd::answers(self.port),
        };
        answer.unwrap_or(false)
    }
}

/// Waits for a former server's last moments: whoever started it was killed, perhaps.
#[expect(
    clippy::disallowed_methods,
    reason = "this crate blocks, and a lock that is wanted within a time must be asked for"
)]
fn lock(kind: Kind, folder: &Path) -> Result<File, Error> {
    let file = File::create(folder.join("lock"))
        .map_err(|error| Error::io(kind, format!("lock {}", folder.display()), error))?;
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        thread::sleep(LOCK_EVERY);
    }
    Err(Error::InUse {
        kind,
        folder: folder.to_owned(),
    })
}

/// How to start it.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// On top of ours.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// What its log must say before an answer counts.
    pub(crate) started: &'static str,
    /// The signal at which it stops in order.
    pub(crate) stop: &'static str,
    /// The signal at which it gives back at once what outlives a process; nothing does when it is empty.
    pub(crate) farewell: &'static str,
}

impl Plan {
    /// One program that needs nothing besides, answers as soon as it has started and stops at SIGTERM.
    pub(crate) fn of(program: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(Into::into);
        Self {
            command: [program.into()].into_iter().chain(arguments).collect(),
            environment: Vec::new(),
            started: "",
            stop: "TERM",
            farewell: "",
        }
    }
}
