//! The services, each behind a sidecar of its own.
//!
//! ```text
//!   ─► [sidecar] gateway [sidecar] ─► [sidecar] orders [sidecar] ─► [sidecar] inventory
//!                                                             └──► [sidecar] payments
//! ```

use std::{collections::BTreeMap, net::SocketAddr};

use mesh_manifests::Fault;

use super::{Endpoint, Envoy, Inbound, Istio, Sidecar, Tracing};
use crate::{Collector, Http, Metrics, Ports, Processes};

/// Whom each process calls.
const CALLS: [(&str, &[&str]); 5] = [
    ("gateway", &["orders", "inventory"]),
    ("orders", &["inventory", "payments"]),
    ("inventory", &[]),
    ("payments", &[]),
    ("fulfillment", &["inventory", "orders"]),
];

/// All of it, running; dropping it kills it.
#[derive(Debug)]
pub struct Meshed {
    processes: Processes,
    sidecars: BTreeMap<&'static str, Envoy>,
    entry: SocketAddr,
    collector: Collector,
    _ports: Ports,
}

/// What is to run.
#[derive(Debug)]
pub struct MeshedBuilder<'a> {
    version: &'a str,
    istio: &'a Istio,
    names: Vec<&'static str>,
    random_percent: u32,
    first_tries: Vec<(String, Fault)>,
}

impl Meshed {
    /// All that an order needs, without fulfillment, with sidecars of that version and what Istio is told. Processes sample
    /// what nobody has decided on, sidecars nothing.
    #[must_use]
    pub fn with<'a>(version: &'a str, istio: &'a Istio) -> MeshedBuilder<'a> {
        MeshedBuilder {
            version,
            istio,
            names: vec!["payments", "inventory", "orders", "gateway"],
            random_percent: 0,
            first_tries: Vec::new(),
        }
    }

    /// A client of the gateway's sidecar.
    #[must_use]
    pub fn entry(&self) -> Http {
        Http::new(self.entry)
    }

    /// The processes.
    pub fn processes(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// What a process counts now.
    pub async fn metrics(&self, name: &str) -> Metrics {
        self.processes.metrics(name).await
    }

    /// The sidecar of a process.
    #[must_use]
    pub fn sidecar(&self, name: &str) -> &Envoy {
        &self.sidecars[name]
    }

    /// What all spans are sent to.
    #[must_use]
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Ends processes, then sidecars, and insists that each ends well. Spans are flushed on the way out.
    pub async fn stop(&mut self) {
        self.processes.stop().await;
        for sidecar in self.sidecars.values_mut() {
            sidecar.stop().await;
        }
    }
}

impl MeshedBuilder<'_> {
    /// Sidecars sample so many percent of what nobody has decided on.
    #[must_use]
    pub fn sampling(mut self, percent: u32) -> Self {
        self.random_percent = percent;
        self
    }

    /// Fulfillment too.
    #[must_use]
    pub fn fulfilled(mut self) -> Self {
        self.names.push("fulfillment");
        self
    }

    /// The sidecar of whoever serves that RPC does this to the first try of each call.
    #[must_use]
    pub fn first_try(mut self, rpc: &str, fault: Fault) -> Self {
        self.first_tries.push((rpc.to_owned(), fault));
        self
    }

    /// Starts everything.
    ///
    /// # Panics
    ///
    /// When something does not become ready.
    pub async fn start(self) -> Meshed {
        let collector = Collector::start();
        let mut ports = Ports::default();
        let calls = CALLS
            .into_iter()
            .filter(|(name, _)| self.names.contains(name));
        let calls: Vec<_> = calls.collect();
        let inbound: BTreeMap<_, _> = calls
            .iter()
            .map(|(name, _)| (*name, ports.take()))
            .collect();
        // The gateway stands behind a sidecar, which decides on sampling before it does.
        let mut builder = Processes::only(&self.names)
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .set("MESH_TRUST_EDGE_HEADERS", "true");
        let mut outbound = BTreeMap::<_, Vec<_>>::new();
        for (name, peers) in calls {
            for peer in peers {
                let listen = ports.take();
                let variable = format!("MESH_{}_URL", peer.to_uppercase());
                builder = builder.set_of(name, &variable, format!("http://{listen}"));
                let replicas = [Endpoint::always(inbound[peer])];
                let way = self.istio.outbound(peer, listen, &replicas);
                outbound.entry(name).or_default().push(way);
            }
        }
        let processes = builder.start().await;
        let mut sidecars = BTreeMap::new();
        for (name, listen) in &inbound {
            let sidecar = Sidecar {
                service: name,
                inbound: (*name != "fulfillment").then(|| Inbound {
                    listen: *listen,
                    to: processes.address(name),
                    http2: *name != "gateway",
                    first_tries: self.first_tries.clone(),
                }),
                outbound: outbound.remove(name).unwrap_or_default(),
                tracing: Some(Tracing {
                    to: collector.address(),
                    random_percent: self.random_percent,
                }),
            };
            sidecars.insert(*name, Envoy::start(self.version, &sidecar).await);
        }
        Meshed {
            processes,
            sidecars,
            entry: inbound["gateway"],
            collector,
            _ports: ports,
        }
    }
}
