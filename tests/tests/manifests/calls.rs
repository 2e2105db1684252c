//! The call graph, from the constants that the services' clients are made of; and the table of timeouts.

use std::{collections::BTreeSet, time::Duration};

use mesh_client::Peer;
use mesh_manifests::{CallGraph, Edge, Finding, Manifests, StringMatch, VirtualService};
use mesh_tests::rpc;
use prost::Message as _;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

/// Whom each process calls.
const PEERS: [(&str, &[&Peer]); 3] = [
    (
        "fulfillment",
        &[&mesh_fulfillment::INVENTORY, &mesh_fulfillment::ORDERS],
    ),
    (
        "gateway",
        &[&mesh_gateway::INVENTORY, &mesh_gateway::ORDERS],
    ),
    ("orders", &[&mesh_orders::INVENTORY, &mesh_orders::PAYMENTS]),
];
const COMMIT: &str = "/shop.inventory.v1.InventoryService/Commit";
const MARK_FULFILLED: &str = "/shop.orders.v1.OrdersService/MarkFulfilled";

/// What is promised of each RPC: the mesh's timeout, the limit of each of two tries, the caller's own cap; in ms.
const PROMISES: [(&str, u64, Option<u64>, u64); 13] = [
    (rpc::PLACE_ORDER, 4_700, None, 4_600),
    (rpc::CANCEL_ORDER, 4_700, None, 4_600),
    (rpc::GET_ORDER, 1_000, Some(450), 950),
    (rpc::LIST_ORDERS, 1_000, Some(450), 950),
    (rpc::LIST_PRODUCTS, 1_000, Some(450), 950),
    (rpc::GET_PRODUCTS, 1_000, Some(450), 950),
    (rpc::RESERVE, 700, Some(300), 650),
    (rpc::RELEASE, 700, Some(300), 650),
    (COMMIT, 700, Some(300), 650),
    (rpc::CHARGE, 3_500, None, 3_400),
    (rpc::REFUND, 3_500, None, 3_400),
    (rpc::GET_CHARGE, 1_000, Some(450), 950),
    (MARK_FULFILLED, 1_000, Some(450), 950),
];
/// What never reached a handler, and what a slow try ends with as well.
const ONCE: &str = "connect-failure,refused-stream";
const TWICE: &str = "connect-failure,refused-stream,unavailable,reset,deadline-exceeded";

/// All calls of all processes, and every RPC of the protos.
pub(crate) fn graph() -> CallGraph {
    let edges = PEERS.iter().flat_map(|(caller, peers)| {
        peers.iter().flat_map(move |peer| {
            peer.calls
                .iter()
                .map(move |call| (*caller, peer.name, call))
        })
    });
    let edges: Vec<_> = edges
        .map(|(caller, callee, call)| Edge {
            caller: caller.to_owned(),
            callee: callee.to_owned(),
            rpc: call.rpc.to_owned(),
            cap: call.cap,
            handlers: call
                .uses
                .iter()
                .map(|used| used.handler.to_owned())
                .collect(),
        })
        .collect();
    // A peer that is missing above would be missing in every comparison.
    let ours: BTreeSet<_> = edges
        .iter()
        .map(|edge| (edge.caller.as_str(), edge.callee.as_str()))
        .collect();
    assert_eq!(
        ours,
        configured(),
        "PEERS and the settings MESH_<PEER>_URL name the same"
    );
    CallGraph {
        edges,
        rpcs: rpcs().collect(),
    }
}

/// Who can be told where whom is.
fn configured() -> BTreeSet<(&'static str, &'static str)> {
    let peers = [
        ("MESH_ORDERS_URL", "orders"),
        ("MESH_INVENTORY_URL", "inventory"),
        ("MESH_PAYMENTS_URL", "payments"),
    ];
    let variables = mesh_config::VARIABLES.iter();
    let urls = variables.filter_map(|variable| {
        peers
            .iter()
            .find(|(name, _)| *name == variable.name)
            .map(|(_, peer)| (variable.of, *peer))
    });
    urls.flat_map(|(of, peer)| of.iter().map(move |caller| (*caller, peer)))
        .collect()
}

fn rpcs() -> impl Iterator<Item = (String, bool)> {
    let set = FileDescriptorSet::decode(mesh_proto::FILE_DESCRIPTOR_SET).expect("it is one");
    set.file.into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let service_name = format!("/{package}.{}", service.name());
            service.method.into_iter().map(move |method| {
                let level = method
                    .options
                    .as_ref()
                    .map(prost_types::MethodOptions::idempotency_level);
                let repeatable =
                    level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown);
                (format!("{service_name}/{}", method.name()), repeatable)
            })
        })
    })
}

/// Where the routes, or the callers' caps, differ from the table.
pub(crate) fn promises(set: &Manifests) -> Vec<Finding> {
    let mut findings = Vec::new();
    for edge in &graph().edges {
        let promise = PROMISES.iter().find(|(rpc, ..)| *rpc == edge.rpc);
        let (.., cap) = promise.unwrap_or_else(|| panic!("{} is not in the table", edge.rpc));
        assert_eq!(
            edge.cap,
            Duration::from_millis(*cap),
            "the cap of {} for {}",
            edge.caller,
            edge.rpc
        );
    }
    for object in set.of("VirtualService") {
        let service = VirtualService::read(object).expect("it is one");
        for (index, route) in service.http.iter().enumerate() {
            let told = (
                route.timeout,
                route.attempts(),
                route.per_try_timeout(),
                route.retry_on(),
            );
            let mut differs = |promised| {
                if told != promised {
                    let problem = format!("{told:?} is not what is promised, {promised:?}");
                    findings.push(Finding::of(object, format!("spec.http[{index}]"), problem));
                }
            };
            if object.name == "gateway" {
                differs((Some(Duration::from_millis(5_500)), 1, None, ONCE));
            }
            for uri in route.uris() {
                let StringMatch::Exact(path) = uri else {
                    continue;
                };
                let Some((_, timeout, per_try, _)) = PROMISES.iter().find(|(rpc, ..)| rpc == path)
                else {
                    continue;
                };
                let on = if per_try.is_some() { TWICE } else { ONCE };
                differs((
                    Some(Duration::from_millis(*timeout)),
                    1,
                    per_try.map(Duration::from_millis),
                    on,
                ));
            }
        }
    }
    findings
}
