//! The settings that every process has. Each component's own are read beside it; the rules between them are here.

use std::{net::SocketAddr, time::Duration};

use mesh_config::{Reader, format_duration};

use crate::{Defaults, admin::AdminConfig, cpu, telemetry::TelemetryConfig};

/// Requests in flight in the whole process.
const CONCURRENCY_LIMIT: u64 = 256;
/// Endpoint removal is asynchronous and takes 1 to 3 seconds as a rule.
const DRAIN_DELAY: Duration = Duration::from_secs(5);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct ChassisConfig {
    pub(crate) server: Option<ServerConfig>,
    /// The longest the process works on one request or message.
    pub(crate) request_timeout: Duration,
    /// What the headers of a request say is believed.
    pub(crate) trusted: bool,
    pub(crate) admin: AdminConfig,
    pub(crate) drain: DrainConfig,
    pub(crate) telemetry: TelemetryConfig,
    pub(crate) worker_threads: usize,
}

/// Of a process that listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) concurrency: usize,
}

/// Both count from the signal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainConfig {
    /// How long the listeners go on serving.
    pub(crate) delay: Duration,
    /// When what is left is cut.
    pub(crate) timeout: Duration,
}

impl ChassisConfig {
    pub(crate) fn read(reader: &mut Reader<'_>, name: &'static str, defaults: &Defaults) -> Self {
        let config = Self {
            server: defaults
                .listen
                .map(|listen| ServerConfig::read(reader, listen)),
            request_timeout: reader.duration("MESH_REQUEST_TIMEOUT", defaults.request_timeout),
            trusted: !defaults.edge || reader.flag("MESH_TRUST_EDGE_HEADERS", false),
            admin: AdminConfig::read(reader),
            drain: DrainConfig::read(reader),
            telemetry: TelemetryConfig::read(reader, name),
            worker_threads: count(reader.count(
                "TOKIO_WORKER_THREADS",
                cpu::worker_threads(),
                1..=1_024,
            )),
        };
        config.check(reader);
        config
    }

    /// A request in flight at the signal must have the time to finish. A process without listener gives back what it
    /// holds when it is cut, so its work may be longer.
    fn check(&self, reader: &mut Reader<'_>) {
        let (request, drain) = (self.request_timeout, self.drain.timeout);
        if request.is_zero() {
            reader.reject(
                "MESH_REQUEST_TIMEOUT",
                &format_duration(request),
                "must be longer than 0s",
            );
        }
        if self.server.is_some() && request >= drain {
            let reason = format!(
                "must be shorter than MESH_DRAIN_TIMEOUT, which is {}",
                format_duration(drain)
            );
            reader.reject("MESH_REQUEST_TIMEOUT", &format_duration(request), reason);
        }
    }
}

impl ServerConfig {
    fn read(reader: &mut Reader<'_>, listen: &str) -> Self {
        let listen = listen
            .parse()
            .expect("a process's default address is an address");
        Self {
            listen: reader.addr("MESH_LISTEN_ADDR", listen),
            concurrency: count(reader.count(
                "MESH_CONCURRENCY_LIMIT",
                CONCURRENCY_LIMIT,
                1..=100_000,
            )),
        }
    }
}

impl DrainConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            delay: reader.duration("MESH_DRAIN_DELAY", DRAIN_DELAY),
            timeout: reader.duration("MESH_DRAIN_TIMEOUT", DRAIN_TIMEOUT),
        }
    }
}

fn count(value: u64) -> usize {
    usize::try_from(value).expect("the range of a count is small")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_config::{ConfigErrors, Loaded, Section, VARIABLES, load};

    use super::*;

    const GATEWAY: Defaults = Defaults {
        listen: Some("0.0.0.0:8080"),
        request_timeout: Duration::from_secs(5),
        edge: true,
    };
    const WORKER: Defaults = Defaults {
        listen: None,
        request_timeout: Duration::from_secs(30),
        edge: false,
    };

    struct Gateway(ChassisConfig);
    struct Worker(#[expect(dead_code, reason = "only its problems are looked at")] ChassisConfig);

    impl Section for Gateway {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self(ChassisConfig::read(reader, "gateway", &GATEWAY))
        }
    }

    impl Section for Worker {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self(ChassisConfig::read(reader, "fulfillment", &WORKER))
        }
    }

    fn read<C: Section>(pairs: &[(&str, &str)]) -> Result<Loaded<C>, ConfigErrors> {
        let source: BTreeMap<_, _> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        load(&source)
    }

    fn problems<C: Section>(pairs: &[(&str, &str)]) -> Vec<String> {
        read::<C>(pairs).err().map_or(Vec::new(), |errors| {
            errors.problems.iter().map(ToString::to_string).collect()
        })
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let Gateway(config) = read(&[]).unwrap().config;
        assert_eq!(
            config.server.unwrap().listen,
            "0.0.0.0:8080".parse().unwrap()
        );
        assert_eq!(config.server.unwrap().concurrency, 256);
        assert_eq!(config.request_timeout, Duration::from_secs(5));
        assert!(!config.trusted);
        assert_eq!(config.admin.listen, "0.0.0.0:9464".parse().unwrap());
        assert_eq!(
            (config.drain.delay, config.drain.timeout),
            (Duration::from_secs(5), Duration::from_secs(15))
        );
        assert_eq!(config.worker_threads as u64, cpu::worker_threads());
    }

    #[test]
    fn an_edge_trusts_only_when_it_is_told_to() {
        assert!(
            read::<Gateway>(&[("MESH_TRUST_EDGE_HEADERS", "true")])
                .unwrap()
                .config
                .0
                .trusted
        );
    }

    #[test]
    fn a_request_must_be_able_to_finish_while_the_process_drains() {
        let slow = [("MESH_REQUEST_TIMEOUT", "15s")];
        assert_eq!(
            problems::<Gateway>(&slow),
            ["MESH_REQUEST_TIMEOUT=\"15s\": must be shorter than MESH_DRAIN_TIMEOUT, which is 15s"]
        );
        assert_eq!(problems::<Worker>(&slow), [""; 0]);
        assert_eq!(
            problems::<Worker>(&[("MESH_REQUEST_TIMEOUT", "0s")]).len(),
            1
        );
        assert_eq!(
            problems::<Gateway>(&[
                ("MESH_REQUEST_TIMEOUT", "15s"),
                ("MESH_DRAIN_TIMEOUT", "16s")
            ]),
            [""; 0]
        );
    }

    #[test]
    fn bad_settings_of_every_component_are_reported_at_once() {
        let names = [
            ("MESH_LISTEN_ADDR", "8080"),
            ("MESH_ADMIN_ADDR", ":9464"),
            ("MESH_REQUEST_TIMEOUT", "5"),
            ("MESH_CONCURRENCY_LIMIT", "0"),
            ("MESH_DRAIN_DELAY", "soon"),
            ("MESH_DRAIN_TIMEOUT", "-1s"),
            ("MESH_TRUST_EDGE_HEADERS", "yes"),
            ("RUST_LOG", "info,[broken"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_PROPAGATORS", "jaeger"),
            ("TOKIO_WORKER_THREADS", "0"),
        ];
        let problems = problems::<Gateway>(&names);
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
        for (name, _) in names {
            assert_eq!(
                problems
                    .iter()
                    .filter(|problem| problem.starts_with(name))
                    .count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn every_setting_is_in_the_table_of_variables() {
        for (name, _) in read::<Gateway>(&[]).unwrap().settings.iter() {
            let variable = VARIABLES
                .iter()
                .find(|variable| variable.name == name)
                .expect(name);
            assert!(variable.of.contains(&"gateway"), "{name}");
        }
    }
}
