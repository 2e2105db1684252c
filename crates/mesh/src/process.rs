//! The programs of the mesh, as `mesh up` needs to know them: names, ports, order of stopping.

use std::{fmt, process::ExitCode};

use mesh_chassis::Process as _;
use serde::{Deserialize, Serialize};

/// One of the programs; in the order in which people read them, and in which admin ports are given.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Process {
    Gateway,
    Orders,
    Inventory,
    Payments,
    Fulfillment,
}

/// What a process speaks on its service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

impl Process {
    pub(crate) const ALL: [Self; 5] = [
        Self::Gateway,
        Self::Orders,
        Self::Inventory,
        Self::Payments,
        Self::Fulfillment,
    ];

    /// Callers before those they call, so that nobody loses a peer while it still works.
    pub(crate) const STOP_ORDER: [&[Self]; 4] = [
        &[Self::Gateway],
        // What is in hand is marked in orders.
        &[Self::Fulfillment],
        &[Self::Orders],
        &[Self::Inventory, Self::Payments],
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => mesh_gateway::Gateway::NAME,
            Self::Orders => mesh_orders::Orders::NAME,
            Self::Inventory => mesh_inventory::Inventory::NAME,
            Self::Payments => mesh_payments::Payments::NAME,
            Self::Fulfillment => mesh_fulfillment::Fulfillment::NAME,
        }
    }

    /// Becomes this process: returns when it has ended.
    pub(crate) fn main(self, args: impl Iterator<Item = String>) -> ExitCode {
        match self {
            Self::Gateway => mesh_chassis::main::<mesh_gateway::Gateway>(args),
            Self::Orders => mesh_chassis::main::<mesh_orders::Orders>(args),
            Self::Inventory => mesh_chassis::main::<mesh_inventory::Inventory>(args),
            Self::Payments => mesh_chassis::main::<mesh_payments::Payments>(args),
            Self::Fulfillment => mesh_chassis::main::<mesh_fulfillment::Fulfillment>(args),
        }
    }

    /// None for one that only consumes and calls.
    pub(crate) fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Gateway => Some(Protocol::Http),
            Self::Orders | Self::Inventory | Self::Payments => Some(Protocol::Grpc),
            Self::Fulfillment => None,
        }
    }

    /// On loopback, before `--port-offset`: every process needs a port of its own there.
    pub(crate) fn port(self) -> Option<u16> {
        match self {
            Self::Gateway => Some(8080),
            Self::Orders => Some(50051),
            Self::Inventory => Some(50052),
            Self::Payments => Some(50053),
            Self::Fulfillment => None,
        }
    }

    /// As [`Self::port`], for health, metrics and profiles.
    pub(crate) fn admin_port(self) -> u16 {
        match self {
            Self::Gateway => 9461,
            Self::Orders => 9462,
            Self::Inventory => 9463,
            Self::Payments => 9464,
            Self::Fulfillment => 9465,
        }
    }

    /// The variable by which callers find this process; nobody calls the gateway or fulfillment.
    pub(crate) fn url_variable(self) -> Option<&'static str> {
        match self {
            Self::Gateway | Self::Fulfillment => None,
            Self::Orders => Some("MESH_ORDERS_URL"),
            Self::Inventory => Some("MESH_INVENTORY_URL"),
            Self::Payments => Some("MESH_PAYMENTS_URL"),
        }
    }

    pub(crate) fn has_store(self) -> bool {
        match self {
            Self::Gateway | Self::Fulfillment => false,
            Self::Orders | Self::Inventory | Self::Payments => true,
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One of the replicas of a process: `orders`, `orders-2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReplicaId {
    pub(crate) process: Process,
    /// From 1.
    pub(crate) number: u32,
}

impl ReplicaId {
    /// The one that has the ports people know.
    pub(crate) fn first(process: Process) -> Self {
        Self { process, number: 1 }
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.number == 1 {
            return self.process.fmt(f);
        }
        f.pad(&format!("{}-{}", self.process, self.number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_command_line_and_the_wire_know_each_process_by_its_own_name() {
        for process in Process::ALL {
            let value = process.to_possible_value().unwrap();
            assert_eq!(value.get_name(), process.name());
            assert_eq!(serde_json::to_value(process).unwrap(), process.name());
        }
    }

    #[test]
    fn every_process_is_listed_and_stopped_once() {
        assert_eq!(Process::ALL, Process::value_variants());
        let stopped: Vec<_> = Process::STOP_ORDER.concat();
        assert_eq!(stopped.len(), Process::ALL.len());
        assert_eq!(stopped.iter().collect::<BTreeSet<_>>().len(), stopped.len());
    }

    #[test]
    fn no_two_processes_share_a_port() {
        let ports: Vec<u16> = Process::ALL
            .iter()
            .flat_map(|process| process.port().into_iter().chain([process.admin_port()]))
            .collect();
        assert_eq!(ports.len(), 2 * Process::ALL.len() - 1);
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
    }

    #[test]
    fn the_first_replica_has_the_name_of_the_process() {
        let mut id = ReplicaId::first(Process::Orders);
        assert_eq!(id.to_string(), "orders");
        id.number = 2;
        assert_eq!(format!("[{id:<10}]"), "[orders-2  ]");
    }
}
