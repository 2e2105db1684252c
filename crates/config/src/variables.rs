//! The one table of every variable that any process of the mesh reads. The README's table is tested against it.

/// One environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The processes that read it.
    pub of: &'static [&'static str],
    /// Its default, for people.
    pub default: &'static str,
    /// What it says, for people.
    pub meaning: &'static str,
}

const ALL: &[&str] = &["gateway", "orders", "inventory", "payments", "fulfillment"];
const SERVERS: &[&str] = &["gateway", "orders", "inventory", "payments"];
const STORES: &[&str] = &["orders", "inventory", "payments"];

/// Every variable, in the order in which people read about them.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "MESH_LISTEN_ADDR",
        of: SERVERS,
        default: "0.0.0.0:8080 (gateway), 0.0.0.0:50051",
        meaning: "service listener",
    },
    Variable {
        name: "MESH_ADMIN_ADDR",
        of: ALL,
        default: "0.0.0.0:9464",
        meaning: "admin listener",
    },
    Variable {
        name: "MESH_REQUEST_TIMEOUT",
        of: ALL,
        default: "gateway 5s, orders 4.6s, inventory 1s, payments 3.4s, fulfillment 30s",
        meaning: "the longest this process works on one request or message; shorter than MESH_DRAIN_TIMEOUT (fulfillment apart)",
    },
    Variable {
        name: "MESH_CONCURRENCY_LIMIT",
        of: SERVERS,
        default: "256",
        meaning: "requests in flight in the whole process",
    },
    Variable {
        name: "MESH_DRAIN_DELAY",
        of: ALL,
        default: "5s (mesh up: 0s)",
        meaning: "how long the listeners go on serving after SIGTERM, while the platform takes the process out of its lists",
    },
    Variable {
        name: "MESH_DRAIN_TIMEOUT",
        of: ALL,
        default: "15s (mesh up: 6s)",
        meaning: "how long after SIGTERM what is left is cut",
    },
    Variable {
        name: "MESH_ORDERS_URL",
        of: &["gateway", "fulfillment"],
        default: "http://orders:50051",
        meaning: "where orders is",
    },
    Variable {
        name: "MESH_ORDERS_TIMEOUT",
        of: &["gateway", "fulfillment"],
        default: "the largest cap of the calls to orders",
        meaning: "upper bound on every call to orders",
    },
    Variable {
        name: "MESH_INVENTORY_URL",
        of: &["gateway", "orders", "fulfillment"],
        default: "http://inventory:50051",
        meaning: "where inventory is",
    },
    Variable {
        name: "MESH_INVENTORY_TIMEOUT",
        of: &["gateway", "orders", "fulfillment"],
        default: "the largest cap of the calls to inventory",
        meaning: "upper bound on every call to inventory",
    },
    Variable {
        name: "MESH_PAYMENTS_URL",
        of: &["orders"],
        default: "http://payments:50051",
        meaning: "where payments is",
    },
    Variable {
        name: "MESH_PAYMENTS_TIMEOUT",
        of: &["orders"],
        default: "the largest cap of the calls to payments",
        meaning: "upper bound on every call to payments",
    },
    Variable {
        name: "MESH_STORE_URL",
        of: STORES,
        default: "sqlite://.mesh/<service>.db",
        meaning: "the service's store; or postgres://…, where each service keeps to the schema of its own name",
    },
    Variable {
        name: "MESH_SEED_STOCK",
        of: &["inventory"],
        default: "1000",
        meaning: "pieces of each product when the store is first made",
    },
    Variable {
        name: "MESH_QUEUE_URL",
        of: &["orders", "fulfillment"],
        default: "sqlite://.mesh/queue.db",
        meaning: "the queue of work: a file that processes share, or amqp://… of a RabbitMQ",
    },
    Variable {
        name: "MESH_TRUST_EDGE_HEADERS",
        of: &["gateway"],
        default: "false",
        meaning: "true behind a proxy that cleans what comes from outside: sampling decision and deadline are then taken over",
    },
    Variable {
        name: "MESH_SESSION_URL",
        of: &["gateway"],
        default: "memory:",
        meaning: "where sessions and carts are kept: in the memory of the one gateway, or redis://[<user>:<password>@]<host>[:<port>][/<database>], where several gateways find them",
    },
    Variable {
        name: "MESH_LEASE_URL",
        of: &["orders"],
        default: "local:",
        meaning: "where it is decided which replica reconciles: a locked file beside the store, for one machine; or etcd://host:2379[,…]",
    },
    Variable {
        name: "MESH_PREFETCH",
        of: &["fulfillment"],
        default: "10",
        meaning: "messages in hand: the one being worked on and those that wait for it",
    },
    Variable {
        name: "MESH_WORK_TIME",
        of: &["fulfillment"],
        default: "50ms",
        meaning: "pretended work on each message, one message at a time; shorter than MESH_REQUEST_TIMEOUT",
    },
    Variable {
        name: "RUST_LOG",
        of: ALL,
        default: "info,lapin=off",
        meaning: "which log lines are written, as tracing-subscriber's directives; what lapin says of a broker that is away, mesh-messaging says once",
    },
    Variable {
        name: "OTEL_SERVICE_NAME",
        of: ALL,
        default: "the process's name",
        meaning: "service.name of spans and log lines",
    },
    Variable {
        name: "OTEL_RESOURCE_ATTRIBUTES",
        of: ALL,
        default: "",
        meaning: "further resource attributes of spans, key=value,…",
    },
    Variable {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        of: ALL,
        default: "",
        meaning: "where spans go by OTLP over gRPC, such as http://localhost:4317; without it none are made and headers are still forwarded",
    },
    Variable {
        name: "OTEL_TRACES_SAMPLER",
        of: ALL,
        default: "parentbased_always_on",
        meaning: "always_on, always_off, traceidratio, or one of them after parentbased_",
    },
    Variable {
        name: "OTEL_TRACES_SAMPLER_ARG",
        of: ALL,
        default: "1.0",
        meaning: "the ratio of traceidratio, 0 to 1",
    },
    Variable {
        name: "OTEL_PROPAGATORS",
        of: ALL,
        default: "tracecontext,baggage,b3,b3multi",
        meaning: "which trace headers are read and written",
    },
    Variable {
        name: "TOKIO_WORKER_THREADS",
        of: ALL,
        default: "the CPU quota of the cgroup, rounded up, at least 1",
        meaning: "worker threads of the main runtime, the counterpart of GOMAXPROCS",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_variable_stands_once_and_is_read_by_someone() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        for variable in VARIABLES {
            assert!(
                !variable.of.is_empty() && !variable.meaning.is_empty(),
                "{}",
                variable.name
            );
        }
    }
}
