//! The services, each behind a sidecar of its own.
//!
//! ```text
//!   ─► [sidecar] gateway [sidecar] ─► [sidecar] orders [sidecar] ─► [sidecar] inventory
//!                                                             └──► [sidecar] payments
//! ```

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Endpoint, Envoy, Inbound, Outbound, Route, Sidecar, Tracing};
use crate::{Collector, Http, Ports, Processes};

/// Whom each process calls.
const CALLS: [(&str, &[&str]); 4] = [
    ("gateway", &["orders", "inventory"]),
    ("orders", &["inventory", "payments"]),
    ("inventory", &[]),
    ("payments", &[]),
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

impl Meshed {
    /// Starts everything, with sidecars of that version and these routes to each peer. Processes sample what nobody has
    /// decided on; sidecars so many percent of it.
    pub async fn start(
        version: &str,
        routes: impl Fn(&str) -> Vec<Route>,
        random_percent: u32,
    ) -> Self {
        let collector = Collector::start();
        let mut ports = Ports::default();
        let inbound: BTreeMap<_, _> = CALLS.map(|(name, _)| (name, ports.take())).into();
        let outbound =
            CALLS.map(|(_, peers)| peers.iter().map(|_| ports.take()).collect::<Vec<_>>());
        // The gateway stands behind a sidecar, which decides on sampling before it does.
        let mut builder = Processes::all()
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .set("MESH_TRUST_EDGE_HEADERS", "true");
        for ((name, peers), listeners) in CALLS.iter().zip(&outbound) {
            for (peer, listen) in peers.iter().zip(listeners) {
                let variable = format!("MESH_{}_URL", peer.to_uppercase());
                builder = builder.set_of(name, &variable, format!("http://{listen}"));
            }
        }
        let processes = builder.start().await;
        let mut sidecars = BTreeMap::new();
        for ((name, peers), listeners) in CALLS.into_iter().zip(outbound) {
            let ways = peers.iter().zip(listeners).map(|(peer, listen)| Outbound {
                peer,
                listen,
                endpoints: vec![Endpoint::always(inbound[peer])],
                routes: routes(peer),
                outliers: None,
            });
            let sidecar = Sidecar {
                service: name,
                inbound: Some(Inbound {
                    listen: inbound[name],
                    to: processes.address(name),
                    http2: name != "gateway",
                }),
                outbound: ways.collect(),
                tracing: Some(Tracing {
                    to: collector.address(),
                    random_percent,
                }),
            };
            sidecars.insert(name, Envoy::start(version, &sidecar).await);
        }
        Self {
            processes,
            sidecars,
            entry: inbound["gateway"],
            collector,
            _ports: ports,
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
