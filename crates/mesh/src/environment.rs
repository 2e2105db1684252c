//! The variables that `mesh up` gives its children, on top of the environment they inherit.

use std::{collections::BTreeMap, time::Duration};

use mesh_config::{Source, parse_duration};

use crate::{cli::Assignment, error::Error, ports::Addresses, process::Process};

const LISTEN: &str = "MESH_LISTEN_ADDR";
const ADMIN: &str = "MESH_ADMIN_ADDR";
pub(crate) const STORE: &str = "MESH_STORE_URL";
pub(crate) const QUEUE: &str = "MESH_QUEUE_URL";
pub(crate) const SESSION: &str = "MESH_SESSION_URL";
pub(crate) const LEASE: &str = "MESH_LEASE_URL";
const DRAIN_DELAY: &str = "MESH_DRAIN_DELAY";
const DRAIN_TIMEOUT: &str = "MESH_DRAIN_TIMEOUT";

/// Nobody needs time to notice here that a process is going away, and people wait for the prompt.
const DRAIN_DEFAULTS: [(&str, &str); 2] = [(DRAIN_DELAY, "0s"), (DRAIN_TIMEOUT, "6s")];

/// On top of delay and timeout: for the last spans and the exit itself.
const SLACK: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// For every child alike.
    shared: BTreeMap<String, String>,
    /// For one process alone.
    own: BTreeMap<(Process, &'static str), String>,
    /// Where the backing services are, as far as it is said.
    backing: BTreeMap<&'static str, String>,
    grace: Duration,
}

impl Environment {
    /// `set` beats `inherited`, which beats our own defaults.
    pub(crate) fn new(
        inherited: &dyn Source,
        set: &[Assignment],
        port_offset: u16,
    ) -> Result<Self, Error> {
        let mut shared: BTreeMap<String, String> = set
            .iter()
            .map(|assignment| (assignment.key.clone(), assignment.value.clone()))
            .collect();
        for (name, default) in defaults(port_offset) {
            if inherited.get(name).is_none() {
                shared.entry(name.to_owned()).or_insert(default);
            }
        }
        let value = |name: &str| shared.get(name).cloned().or_else(|| inherited.get(name));
        let problems = problems(value);
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        // One that cannot be read is reported by the processes' own check.
        let duration = |name| value(name).and_then(|value| parse_duration(&value).ok());
        let grace = [DRAIN_DELAY, DRAIN_TIMEOUT]
            .into_iter()
            .filter_map(duration)
            .sum::<Duration>()
            + SLACK;
        let backing = [STORE, QUEUE, SESSION, LEASE]
            .into_iter()
            .filter_map(|name| Some((name, value(name)?)))
            .collect();
        Ok(Self {
            shared,
            own: BTreeMap::new(),
            backing,
            grace,
        })
    }

    /// Whether it is said where that backing service is.
    pub(crate) fn names(&self, variable: &str) -> bool {
        self.backing.contains_key(variable)
    }

    /// Says where a backing service is, to one process or to all.
    pub(crate) fn give(&mut self, to: Option<Process>, variable: &'static str, url: String) {
        match to {
            Some(process) => self.own.insert((process, variable), url),
            None => {
                self.shared.insert(variable.to_owned(), url.clone());
                self.backing.insert(variable, url)
            }
        };
    }

    /// The variables of one replica.
    pub(crate) fn of(&self, process: Process, addresses: &Addresses) -> BTreeMap<String, String> {
        let mut variables = self.shared.clone();
        let own = self.own.iter().filter(|((of, _), _)| *of == process);
        variables.extend(own.map(|((_, name), value)| ((*name).to_owned(), value.clone())));
        if let Some(listen) = addresses.listen {
            variables.insert(LISTEN.to_owned(), listen.to_string());
        }
        variables.insert(ADMIN.to_owned(), addresses.admin.to_string());
        variables.insert("OTEL_SERVICE_NAME".to_owned(), process.name().to_owned());
        variables
    }

    /// What the children read about the queue, for looking at it ourselves.
    pub(crate) fn queue(&self) -> BTreeMap<String, String> {
        let url = self.backing.get(QUEUE).cloned().into_iter();
        url.map(|url| (QUEUE.to_owned(), url)).collect()
    }

    /// How long a child may take to stop.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }
}

/// Where the processes find each other, and what they take for stopping.
fn defaults(port_offset: u16) -> impl Iterator<Item = (&'static str, String)> {
    let urls = Process::ALL.into_iter().filter_map(move |process| {
        let listen = Addresses::known(process, port_offset).listen?;
        Some((process.url_variable()?, format!("http://{listen}")))
    });
    let drain = DRAIN_DEFAULTS.map(|(name, value)| (name, value.to_owned()));
    urls.chain(drain)
}

/// What no single process can see: settings that would make the processes get in each other's way.
fn problems(value: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for name in [LISTEN, ADMIN] {
        if let Some(value) = value(name) {
            problems.push(format!(
                "{name}={value:?}: every process needs an address of its own here; use --port-offset to move them all"
            ));
        }
    }
    if let Some(url) = value(STORE).filter(|url| is_sqlite_file(url)) {
        let sharers: Vec<&str> = Process::ALL
            .into_iter()
            .filter(|process| process.has_store())
            .map(Process::name)
            .collect();
        problems.push(format!(
            "{STORE}={url:?}: {} cannot share one SQLite file; leave it unset for a file each, or use postgres://",
            sharers.join(", ")
        ));
    }
    problems
}

fn is_sqlite_file(url: &str) -> bool {
    url.to_ascii_lowercase().starts_with("sqlite:") && !url.contains(":memory:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn set(pairs: &[(&str, &str)]) -> Vec<Assignment> {
        source(pairs)
            .into_iter()
            .map(|(key, value)| Assignment { key, value })
            .collect()
    }

    fn orders(environment: &Environment) -> BTreeMap<String, String> {
        environment.of(Process::Orders, &Addresses::known(Process::Orders, 100))
    }

    #[test]
    fn every_process_gets_addresses_and_finds_its_peers() {
        let environment = Environment::new(&source(&[]), &[], 100).unwrap();
        let expected = source(&[
            ("MESH_ADMIN_ADDR", "127.0.0.1:9562"),
            ("MESH_DRAIN_DELAY", "0s"),
            ("MESH_DRAIN_TIMEOUT", "6s"),
            ("MESH_INVENTORY_URL", "http://127.0.0.1:50152"),
            ("MESH_LISTEN_ADDR", "127.0.0.1:50151"),
            ("MESH_ORDERS_URL", "http://127.0.0.1:50151"),
            ("MESH_PAYMENTS_URL", "http://127.0.0.1:50153"),
            ("OTEL_SERVICE_NAME", "orders"),
        ]);
        assert_eq!(orders(&environment), expected);
        assert_eq!(environment.grace(), Duration::from_secs(9));
    }

    #[test]
    fn set_beats_the_environment_which_beats_the_defaults() {
        let inherited = source(&[
            ("MESH_DRAIN_DELAY", "1s"),
            ("MESH_ORDERS_URL", "http://a:1"),
        ]);
        let set = set(&[("MESH_ORDERS_URL", "http://b:2"), ("RUST_LOG", "debug")]);
        let environment = Environment::new(&inherited, &set, 0).unwrap();
        let variables = orders(&environment);
        assert_eq!(variables["MESH_ORDERS_URL"], "http://b:2");
        assert_eq!(variables["RUST_LOG"], "debug");
        assert!(
            !variables.contains_key("MESH_DRAIN_DELAY"),
            "the inherited value stands"
        );
        assert_eq!(environment.grace(), Duration::from_secs(10));
    }

    #[test]
    fn the_service_name_is_always_the_processs_own() {
        let set = set(&[("OTEL_SERVICE_NAME", "all")]);
        let environment = Environment::new(&source(&[]), &set, 0).unwrap();
        assert_eq!(orders(&environment)["OTEL_SERVICE_NAME"], "orders");
    }

    #[test]
    fn what_the_processes_cannot_share_is_refused_together() {
        let inherited = source(&[("MESH_ADMIN_ADDR", "127.0.0.1:1")]);
        let set = set(&[("MESH_STORE_URL", "sqlite:///tmp/shop.db")]);
        let Err(Error::Settings(problems)) = Environment::new(&inherited, &set, 0) else {
            panic!("must be refused");
        };
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("MESH_ADMIN_ADDR="), "{problems:?}");
        assert!(
            problems[1].contains("orders, inventory, payments cannot share"),
            "{problems:?}"
        );
    }

    #[test]
    fn what_is_given_reaches_those_it_is_for() {
        let mut environment = Environment::new(&source(&[]), &[], 0).unwrap();
        assert!(!environment.names(STORE) && environment.queue().is_empty());
        environment.give(
            Some(Process::Orders),
            STORE,
            "postgres://a/orders".to_owned(),
        );
        environment.give(
            Some(Process::Payments),
            STORE,
            "postgres://a/payments".to_owned(),
        );
        environment.give(None, QUEUE, "amqp://b".to_owned());
        let variables = orders(&environment);
        assert_eq!(variables[STORE], "postgres://a/orders");
        assert_eq!(variables[QUEUE], "amqp://b");
        assert_eq!(environment.queue()[QUEUE], "amqp://b");
        let gateway = Addresses::known(Process::Gateway, 0);
        assert!(
            !environment
                .of(Process::Gateway, &gateway)
                .contains_key(STORE)
        );
    }

    #[test]
    fn one_database_server_serves_all() {
        let set = set(&[("MESH_STORE_URL", "postgres://localhost/shop")]);
        assert!(Environment::new(&source(&[]), &set, 0).is_ok());
    }
}
