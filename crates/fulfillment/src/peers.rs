//! Whom fulfillment calls: the calls as data, and one typed method for each.

use std::time::Duration;

use mesh_client::{Call, Downstream, Error, Kind, Order, Peer, Use};
use mesh_context::RequestContext;
use mesh_messaging::Message;
use mesh_proto::{
    inventory::v1::{CommitRequest, inventory_service_client::InventoryServiceClient},
    orders::v1::{MarkFulfilledRequest, orders_service_client::OrdersServiceClient},
};
use tonic::Code;

const COMMIT: &str = "/shop.inventory.v1.InventoryService/Commit";
const MARK_FULFILLED: &str = "/shop.orders.v1.OrdersService/MarkFulfilled";

/// The task that works on messages.
const CONSUMER: &[Use] = &[Use {
    handler: "consumer",
    order: Order::Sequence,
    at_most: 1,
}];

/// Inventory, as fulfillment calls it.
pub const INVENTORY: Peer = Peer {
    name: "inventory",
    calls: &[Call {
        rpc: COMMIT,
        cap: Duration::from_millis(650),
        floor: Duration::from_millis(25),
        uses: CONSUMER,
    }],
};

/// Orders, as fulfillment calls it.
pub const ORDERS: Peer = Peer {
    name: "orders",
    calls: &[Call {
        rpc: MARK_FULFILLED,
        cap: Duration::from_millis(950),
        floor: Duration::from_millis(25),
        uses: CONSUMER,
    }],
};

/// What inventory says when pieces are to be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    Sold,
    /// Too late: the customer cancelled, and they were given back.
    Released,
}

/// Stubs of the peers.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    inventory: Downstream,
    orders: Downstream,
}

impl Peers {
    pub(crate) fn new(inventory: Downstream, orders: Downstream) -> Self {
        Self { inventory, orders }
    }

    /// Sells what is reserved for an order.
    pub(crate) async fn commit(
        &self,
        ctx: &RequestContext,
        message: &Message,
    ) -> Result<Commit, Error> {
        let request = CommitRequest {
            order_id: message.order_id.clone(),
            message_id: message.id.clone(),
        };
        let mut stub = self.inventory.stub(ctx, InventoryServiceClient::new);
        let answer = stub.commit(request).await;
        match answer.map_err(|status| Error::new(INVENTORY.name, COMMIT, status)) {
            Ok(_) => Ok(Commit::Sold),
            Err(error) if error.kind == Kind::Refused(Code::FailedPrecondition) => {
                Ok(Commit::Released)
            }
            Err(error) => Err(error),
        }
    }

    /// Records an order as fulfilled.
    pub(crate) async fn mark_fulfilled(
        &self,
        ctx: &RequestContext,
        message: &Message,
    ) -> Result<(), Error> {
        let request = MarkFulfilledRequest {
            id: message.order_id.clone(),
            message_id: message.id.clone(),
        };
        let mut stub = self.orders.stub(ctx, OrdersServiceClient::new);
        let answer = stub.mark_fulfilled(request).await;
        let error = |status| Error::new(ORDERS.name, MARK_FULFILLED, status);
        answer.map(|_| ()).map_err(error)
    }
}
