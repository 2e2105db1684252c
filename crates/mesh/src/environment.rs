//! The variables that `mesh up` gives its children, on top of the environment they inherit.

use std::{collections::BTreeMap, time::Duration};

use mesh_config::{Source, parse_duration};

use crate::{
    cli::Assignment,
    error::Error,
    ports::Addresses,
    process::{Process, ReplicaId},
};

const LISTEN: &str = "MESH_LISTEN_ADDR";
const ADMIN: &str = "MESH_ADMIN_ADDR";
pub(crate) const STORE: &str = "MESH_STORE_URL";
pub(crate) const QUEUE: &str = "MESH_QUEUE_URL";
pub(crate) const SESSION: &str = "MESH_SESSION_URL";
pub(crate) const LEASE: &str = "MESH_LEASE_URL";
const DRAIN_DELAY: &str = "MESH_DRAIN_DELAY";
const DRAIN_TIMEOUT: &str = "MESH_DRAIN_TIMEOUT";
const EXPORT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

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
    /// What the user said about spans: where they go, which are made, what they are marked with.
    export: Export,
    sampler: Option<String>,
    resource: Option<String>,
    grace: Duration,
}

/// Where the user wants spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Export {
    /// Not said: wherever they can be looked at.
    Open,
    /// Nowhere: `--set` with nothing behind the equals sign.
    Nowhere,
    To(String),
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
        // An empty value is none, as OpenTelemetry has it; whoever says `--set NAME=` wants no endpoint.
        let export = match value(EXPORT).filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => Export::To(endpoint),
            None if shared.contains_key(EXPORT) => Export::Nowhere,
            None => Export::Open,
        };
        let (sampler, resource) = (value(SAMPLER), value(RESOURCE));
        Ok(Self {
            shared,
            own: BTreeMap::new(),
            backing,
            export,
            sampler,
            resource,
            grace,
        })
    }

    /// Where the user wants spans.
    pub(crate) fn export(&self) -> &Export {
        &self.export
    }

    /// The user's choice of requests that are traced.
    pub(crate) fn sampler(&self) -> Option<&str> {
        self.sampler.as_deref()
    }

    /// Has every process export its spans there.
    pub(crate) fn export_to(&mut self, endpoint: String) {
        self.shared.insert(EXPORT.to_owned(), endpoint);
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
    pub(crate) fn of(&self, id: ReplicaId, addresses: &Addresses) -> BTreeMap<String, String> {
        let mut variables = self.shared.clone();
        let own = self.own.iter().filter(|((of, _), _)| *of == id.process);
        variables.extend(own.map(|((_, name), value)| ((*name).to_owned(), value.clone())));
        if let Some(listen) = addresses.listen {
            variables.insert(LISTEN.to_owned(), listen.to_string());
        }
        variables.insert(ADMIN.to_owned(), addresses.admin.to_string());
        let name = id.process.name().to_owned();
        variables.insert("OTEL_SERVICE_NAME".to_owned(), name);
        // The last of two with one name counts.
        let given = self.resource.iter().filter(|given| !given.is_empty());
        let given = given.map(|given| format!("{given},"));
        let resource = format!("{}service.instance.id={id}", given.collect::<String>());
        variables.insert(RESOURCE.to_owned(), resource);
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
        environment.of(
            ReplicaId::first(Process::Orders),
            &Addresses::known(Process::Orders, 100),
        )
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
            ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=orders"),
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
    fn every_replica_is_told_apart_in_its_spans_beside_what_the_user_says_of_it() {
        let inherited = source(&[("OTEL_RESOURCE_ATTRIBUTES", "team=shop")]);
        let environment = Environment::new(&inherited, &[], 0).unwrap();
        let second = ReplicaId {
            process: Process::Orders,
            number: 2,
        };
        let variables = environment.of(second, &Addresses::known(Process::Orders, 0));
        assert_eq!(
            variables["OTEL_RESOURCE_ATTRIBUTES"],
            "team=shop,service.instance.id=orders-2"
        );
        assert_eq!(variables["OTEL_SERVICE_NAME"], "orders");
    }

    #[test]
    fn the_users_endpoint_is_known_and_stands_unless_another_is_given() {
        let to = |endpoint: &str| Export::To(endpoint.to_owned());
        let inherited = source(&[(EXPORT, "http://a:1")]);
        for (inherited, set, expected) in [
            (&inherited, &[][..], to("http://a:1")),
            (&inherited, &[(EXPORT, "http://b:2")], to("http://b:2")),
            (&inherited, &[(EXPORT, "")], Export::Nowhere),
            (&source(&[(EXPORT, "")]), &[], Export::Open),
            (&source(&[]), &[], Export::Open),
        ] {
            let mut environment = Environment::new(inherited, &self::set(set), 0).unwrap();
            assert_eq!(*environment.export(), expected);
            let given = orders(&environment).get(EXPORT).cloned();
            assert_eq!(given, set.first().map(|(_, value)| (*value).to_owned()));
            environment.export_to("http://c:3".to_owned());
            assert_eq!(orders(&environment)[EXPORT], "http://c:3");
        }
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
                .of(ReplicaId::first(Process::Gateway), &gateway)
                .contains_key(STORE)
        );
    }

    #[test]
    fn one_database_server_serves_all() {
        let set = set(&[("MESH_STORE_URL", "postgres://localhost/shop")]);
        assert!(Environment::new(&source(&[]), &set, 0).is_ok());
    }
}
