//! Inventory and orders as fulfillment sees them: they answer what they are told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use mesh_proto::{
    inventory::v1::{
        CommitRequest, CommitResponse, GetProductsRequest, GetProductsResponse,
        ListProductsRequest, ListProductsResponse, ReleaseRequest, ReleaseResponse, ReserveRequest,
        ReserveResponse,
        inventory_service_server::{InventoryService, InventoryServiceServer},
    },
    orders::v1::{
        CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse,
        ListOrdersRequest, ListOrdersResponse, MarkFulfilledRequest, MarkFulfilledResponse,
        PlaceOrderRequest, PlaceOrderResponse,
        orders_service_server::{OrdersService, OrdersServiceServer},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataMap,
    transport::{Server, server::TcpIncoming},
};

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) rpc: &'static str,
    pub(crate) order: String,
    pub(crate) message: String,
    pub(crate) metadata: MetadataMap,
}

/// Both peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    calls: Mutex<Vec<Call>>,
    commit: Mutex<VecDeque<Code>>,
    mark: Mutex<VecDeque<Code>>,
}

impl Peers {
    /// Serves both on a port of its own for as long as the test's runtime lives.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(InventoryServiceServer::new(self.clone()))
            .add_service(OrdersServiceServer::new(self.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        #[expect(
            clippy::disallowed_methods,
            reason = "a peer is no task of the process under test"
        )]
        tokio::spawn(server);
        address
    }

    /// The next calls of `rpc` are answered like this; those after them with OK.
    pub(crate) fn refuse(&self, rpc: &str, codes: &[Code]) {
        lock(self.told(rpc)).extend(codes);
    }

    /// Every call is well answered again.
    pub(crate) fn recover(&self, rpc: &str) {
        lock(self.told(rpc)).clear();
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.0.calls).clone()
    }

    /// What was called, and for which message.
    pub(crate) fn names(&self) -> Vec<(&'static str, String)> {
        let calls = self.calls();
        calls
            .into_iter()
            .map(|call| (call.rpc, call.message))
            .collect()
    }

    fn told(&self, rpc: &str) -> &Mutex<VecDeque<Code>> {
        if rpc == "Commit" {
            &self.0.commit
        } else {
            &self.0.mark
        }
    }

    fn answer<T>(&self, call: Call, message: T) -> Result<Response<T>, Status> {
        let told = lock(self.told(call.rpc)).pop_front();
        lock(&self.0.calls).push(call);
        told.map_or(Ok(Response::new(message)), |code| {
            Err(Status::new(code, "told to"))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds it")
}

fn never<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("fulfillment never asks"))
}

#[tonic::async_trait]
impl InventoryService for Peers {
    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitResponse>, Status> {
        let call = Call {
            rpc: "Commit",
            order: request.get_ref().order_id.clone(),
            message: request.get_ref().message_id.clone(),
            metadata: request.metadata().clone(),
        };
        self.answer(call, CommitResponse {})
    }

    async fn reserve(
        &self,
        _: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        never()
    }

    async fn release(
        &self,
        _: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        never()
    }

    async fn list_products(
        &self,
        _: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        never()
    }

    async fn get_products(
        &self,
        _: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        never()
    }
}

#[tonic::async_trait]
impl OrdersService for Peers {
    async fn mark_fulfilled(
        &self,
        request: Request<MarkFulfilledRequest>,
    ) -> Result<Response<MarkFulfilledResponse>, Status> {
        let call = Call {
            rpc: "MarkFulfilled",
            order: request.get_ref().id.clone(),
            message: request.get_ref().message_id.clone(),
            metadata: request.metadata().clone(),
        };
        self.answer(call, MarkFulfilledResponse {})
    }

    async fn place_order(
        &self,
        _: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        never()
    }

    async fn get_order(
        &self,
        _: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        never()
    }

    async fn list_orders(
        &self,
        _: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        never()
    }

    async fn cancel_order(
        &self,
        _: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        never()
    }
}
