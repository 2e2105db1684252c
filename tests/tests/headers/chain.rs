//! A chain of processes with recorders at each depth.

use mesh_proto::payments::v1::ChargeState;
use mesh_tests::{Answer, Collector, Processes, Received, Recorder, Shop, rpc};

use crate::Edge;

/// Processes between two recorders.
pub(crate) struct Chain {
    pub(crate) edge: Edge,
    processes: Processes,
    inventory: Recorder,
    payments: Recorder,
    _collector: Collector,
}

/// What a recorder saw, and what the customer was told.
#[derive(Debug)]
#[expect(dead_code, reason = "the depth is printed when a test fails")]
pub(crate) struct Hop {
    pub(crate) depth: u8,
    pub(crate) call: Received,
    pub(crate) answered_trace: String,
    pub(crate) answered_request: String,
}

impl Chain {
    pub(crate) async fn start(edge: Edge) -> Self {
        Self::start_with(edge, None).await
    }

    pub(crate) async fn start_with(edge: Edge, propagators: Option<&str>) -> Self {
        let (inventory, payments) = (Recorder::start().await, Recorder::start().await);
        inventory.reply(rpc::LIST_PRODUCTS, rpc::products());
        inventory.reply(rpc::RESERVE, rpc::reserved());
        payments.reply(rpc::CHARGE, rpc::charge(ChargeState::Charged));
        let collector = Collector::start();
        let mut processes = Processes::only(&["gateway", "orders", "relay"])
            .peer("inventory", inventory.address())
            .peer("payments", payments.address())
            .set_of(
                "gateway",
                "MESH_TRUST_EDGE_HEADERS",
                edge.trusted.to_string(),
            );
        if edge.export {
            processes = processes.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        }
        if let Some(propagators) = propagators {
            processes = processes.set("OTEL_PROPAGATORS", propagators);
        }
        let processes = processes.start().await;
        Self {
            edge,
            processes,
            inventory,
            payments,
            _collector: collector,
        }
    }

    /// Sends a request of each kind with these headers; what came of it at depth 1, 2, 3.
    pub(crate) async fn send(&self, headers: &[(&str, &str)]) -> [Hop; 3] {
        let http = self.processes.gateway();
        let listed = http
            .get("/v1/products")
            .headers(headers.iter().copied())
            .send()
            .await
            .expect_status(200);
        let first = Hop::new(1, self.inventory.take_one(), &listed);
        let key = &first.answered_request;
        let order = Shop::new(http)
            .order(key, rpc::SKU, 1, "tok_ok")
            .headers(headers.iter().copied());
        let placed = order.send().await.expect_status(201);
        [
            first,
            Hop::new(2, self.inventory.take_one(), &placed),
            Hop::new(3, self.payments.take_one(), &placed),
        ]
    }

    /// Requests that disagreed with themselves, at all processes.
    pub(crate) async fn conflicts(&self) -> f64 {
        let mut sum = 0.0;
        for name in ["gateway", "orders", "relay"] {
            sum += self
                .processes
                .metrics(name)
                .await
                .sum("trace_context_conflict_total", &[]);
        }
        sum
    }
}

impl Hop {
    fn new(depth: u8, call: Received, answer: &Answer) -> Self {
        let [answered_trace, answered_request] =
            ["x-trace-id", "x-request-id"].map(|name| answer.header(name).to_owned());
        Self {
            depth,
            call,
            answered_trace,
            answered_request,
        }
    }
}
