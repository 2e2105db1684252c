//! What the deadlines are looked at on: a gateway alone, and the whole chain, with recorders where it ends.

use mesh_proto::payments::v1::ChargeState;
use mesh_tests::{Processes, ProcessesBuilder, Received, Recorder, Shop, rpc};

/// A gateway that takes deadlines from outside, before a recorder in the place of orders and inventory.
pub(super) struct Edge {
    pub(super) processes: Processes,
    pub(super) peers: Recorder,
}

impl Edge {
    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let peers = Recorder::start().await;
        peers.reply(rpc::PLACE_ORDER, rpc::placed());
        peers.reply(rpc::LIST_PRODUCTS, rpc::products());
        let gateway = Processes::only(&["gateway"])
            .peer("orders", peers.address())
            .peer("inventory", peers.address());
        let gateway = settings
            .iter()
            .fold(gateway, |gateway, (name, value)| gateway.set(name, *value));
        Self {
            processes: gateway.start().await,
            peers,
        }
    }

    /// Places an order; the answer's status.
    pub(super) async fn order(&self, key: &str, headers: &[(&str, &str)]) -> u16 {
        let order = Shop::new(self.processes.gateway()).order(key, rpc::SKU, 1, "tok_ok");
        order.headers(headers.iter().copied()).send().await.status
    }

    pub(super) async fn malformed(&self) -> f64 {
        self.processes
            .metrics("gateway")
            .await
            .sum("deadline_header_malformed_total", &[])
    }

    pub(super) async fn not_started(&self, peer: &str) -> f64 {
        let labels = [("peer", peer), ("reason", "deadline")];
        self.processes
            .metrics("gateway")
            .await
            .sum("client_calls_not_started_total", &labels)
    }
}

/// Everything behind the gateway, with recorders at both ends.
pub(super) struct Chain {
    pub(super) processes: Processes,
    pub(super) inventory: Recorder,
    pub(super) payments: Recorder,
}

impl Chain {
    pub(super) async fn start(change: impl FnOnce(ProcessesBuilder) -> ProcessesBuilder) -> Self {
        let (inventory, payments) = (Recorder::start().await, Recorder::start().await);
        inventory.reply(rpc::RESERVE, rpc::reserved());
        inventory.reply(rpc::RELEASE, rpc::released());
        payments.reply(rpc::CHARGE, rpc::charge(ChargeState::Charged));
        let processes = Processes::only(&["gateway", "orders", "relay"])
            .peer("inventory", inventory.address())
            .peer("payments", payments.address())
            .set_of("gateway", "MESH_TRUST_EDGE_HEADERS", "true");
        Self {
            processes: change(processes).start().await,
            inventory,
            payments,
        }
    }

    /// Places an order through the gateway; what arrived at depth 2 and 3.
    pub(super) async fn order(&self, key: &str, headers: &[(&str, &str)]) -> (Received, Received) {
        let order = Shop::new(self.processes.gateway()).order(key, rpc::SKU, 1, "tok_ok");
        let _placed = order
            .headers(headers.iter().copied())
            .send()
            .await
            .expect_status(201);
        (self.inventory.take_one(), self.payments.take_one())
    }
}
