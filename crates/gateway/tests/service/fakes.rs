//! Orders and inventory as this test wants them: real gRPC servers whose answers are set call by call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mesh_proto::{
    inventory::v1::{
        self as inventory,
        inventory_service_server::{InventoryService, InventoryServiceServer},
    },
    money::v1::Money,
    orders::v1::{
        self as orders,
        orders_service_server::{OrdersService, OrdersServiceServer},
    },
};
use tokio::{net::TcpListener, sync::Notify};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// How one RPC answers from now on, and what it was asked.
pub(crate) struct Script<Q, A> {
    answer: Mutex<Answer<Q, A>>,
    asked: Mutex<Vec<Q>>,
    asking: Notify,
    gate: tokio::sync::Mutex<()>,
}

type Answer<Q, A> = Box<dyn FnMut(&Q) -> Result<A, Status> + Send>;

impl<Q: Clone, A> Script<Q, A> {
    fn new(answer: impl FnMut(&Q) -> Result<A, Status> + Send + 'static) -> Self {
        Self {
            answer: Mutex::new(Box::new(answer)),
            asked: Mutex::default(),
            asking: Notify::new(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// From now on.
    pub(crate) fn answer(&self, answer: impl FnMut(&Q) -> Result<A, Status> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Q> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until this was asked so often.
    pub(crate) async fn asked_at_least(&self, times: usize) {
        let asked = async {
            while self.asked().len() < times {
                self.asking.notified().await;
            }
        };
        let limit = std::time::Duration::from_secs(5);
        tokio::time::timeout(limit, asked)
            .await
            .expect("it was not asked so often");
    }

    /// Answers nobody until the guard is dropped.
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    async fn call(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.clone());
        self.asking.notify_one();
        drop(self.gate.lock().await);
        (self.answer.lock().unwrap())(&request).map(Response::new)
    }
}

/// Knows the products of [`catalogue`].
pub(crate) struct Inventory {
    pub(crate) list: Script<inventory::ListProductsRequest, inventory::ListProductsResponse>,
    pub(crate) get: Script<inventory::GetProductsRequest, inventory::GetProductsResponse>,
}

/// Confirms every order.
pub(crate) struct Orders {
    pub(crate) place: Script<orders::PlaceOrderRequest, orders::PlaceOrderResponse>,
    pub(crate) get: Script<orders::GetOrderRequest, orders::GetOrderResponse>,
    pub(crate) list: Script<orders::ListOrdersRequest, orders::ListOrdersResponse>,
    pub(crate) cancel: Script<orders::CancelOrderRequest, orders::CancelOrderResponse>,
}

/// The id of every order that [`Orders`] answers with.
pub(crate) const ORDER_ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

/// 60 products `P-01` to `P-60`; the number is also the price in cents.
pub(crate) fn catalogue() -> BTreeMap<String, inventory::Product> {
    (1..=60)
        .map(|n| {
            let sku = format!("P-{n:02}");
            let product = inventory::Product {
                sku: sku.clone(),
                name: format!("Product {n}"),
                description: "Something.".to_owned(),
                price: euros(n),
                available: 1000,
            };
            (sku, product)
        })
        .collect()
}

pub(crate) fn euros(amount_minor: i64) -> Option<Money> {
    Some(Money {
        currency: "EUR".to_owned(),
        amount_minor,
    })
}

/// A confirmed order of these lines at one cent a piece.
pub(crate) fn order(lines: &[orders::Line]) -> orders::Order {
    let items: Vec<_> = lines
        .iter()
        .map(|line| orders::OrderItem {
            sku: line.sku.clone(),
            quantity: line.quantity,
            unit_price: euros(1),
            total: euros(line.quantity.into()),
        })
        .collect();
    orders::Order {
        id: ORDER_ID.to_owned(),
        status: orders::OrderStatus::Confirmed.into(),
        total: euros(items.iter().map(|item| i64::from(item.quantity)).sum()),
        items,
        created_at_us: 1_700_000_000_000_000,
        updated_at_us: 1_700_000_000_500_000,
    }
}

/// What PlaceOrder answers, for the lines asked for.
pub(crate) fn placed(
    outcome: orders::place_order_response::Outcome,
    request: &orders::PlaceOrderRequest,
) -> orders::PlaceOrderResponse {
    orders::PlaceOrderResponse {
        outcome: outcome.into(),
        order: Some(order(&request.lines)),
        ..Default::default()
    }
}

impl Default for Inventory {
    fn default() -> Self {
        let products = catalogue();
        Self {
            list: Script::new(|request: &inventory::ListProductsRequest| {
                let size = usize::try_from(request.page_size).unwrap();
                let start = match request.page_token.as_str() {
                    "" => 0,
                    token => token
                        .parse()
                        .map_err(|_| Status::invalid_argument("page token"))?,
                };
                let products: Vec<_> = catalogue().into_values().collect();
                let end = products.len().min(start + size);
                let last = end == products.len();
                Ok(inventory::ListProductsResponse {
                    products: products[start..end].to_vec(),
                    next_page_token: if last { String::new() } else { end.to_string() },
                })
            }),
            get: Script::new(move |request: &inventory::GetProductsRequest| {
                let found = request.skus.iter().filter_map(|sku| products.get(sku));
                Ok(inventory::GetProductsResponse {
                    products: found.cloned().collect(),
                })
            }),
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        let line = orders::Line {
            sku: "P-01".to_owned(),
            quantity: 2,
        };
        let one = Some(order(&[line]));
        let (get, cancel, list) = (one.clone(), one.clone(), Vec::from_iter(one));
        Self {
            place: Script::new(|request: &orders::PlaceOrderRequest| {
                if request.lines.is_empty() {
                    return Err(Status::invalid_argument("the cart is empty"));
                }
                Ok(placed(
                    orders::place_order_response::Outcome::Confirmed,
                    request,
                ))
            }),
            get: Script::new(move |_| Ok(orders::GetOrderResponse { order: get.clone() })),
            list: Script::new(move |_| {
                Ok(orders::ListOrdersResponse {
                    orders: list.clone(),
                    next_page_token: String::new(),
                })
            }),
            cancel: Script::new(move |_| {
                Ok(orders::CancelOrderResponse {
                    order: cancel.clone(),
                })
            }),
        }
    }
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn list_products(
        &self,
        request: Request<inventory::ListProductsRequest>,
    ) -> Result<Response<inventory::ListProductsResponse>, Status> {
        self.list.call(request).await
    }

    async fn get_products(
        &self,
        request: Request<inventory::GetProductsRequest>,
    ) -> Result<Response<inventory::GetProductsResponse>, Status> {
        self.get.call(request).await
    }

    async fn reserve(
        &self,
        _: Request<inventory::ReserveRequest>,
    ) -> Result<Response<inventory::ReserveResponse>, Status> {
        Err(Status::unimplemented("not for the gateway"))
    }

    async fn commit(
        &self,
        _: Request<inventory::CommitRequest>,
    ) -> Result<Response<inventory::CommitResponse>, Status> {
        Err(Status::unimplemented("not for the gateway"))
    }

    async fn release(
        &self,
        _: Request<inventory::ReleaseRequest>,
    ) -> Result<Response<inventory::ReleaseResponse>, Status> {
        Err(Status::unimplemented("not for the gateway"))
    }
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn place_order(
        &self,
        request: Request<orders::PlaceOrderRequest>,
    ) -> Result<Response<orders::PlaceOrderResponse>, Status> {
        self.place.call(request).await
    }

    async fn get_order(
        &self,
        request: Request<orders::GetOrderRequest>,
    ) -> Result<Response<orders::GetOrderResponse>, Status> {
        self.get.call(request).await
    }

    async fn list_orders(
        &self,
        request: Request<orders::ListOrdersRequest>,
    ) -> Result<Response<orders::ListOrdersResponse>, Status> {
        self.list.call(request).await
    }

    async fn cancel_order(
        &self,
        request: Request<orders::CancelOrderRequest>,
    ) -> Result<Response<orders::CancelOrderResponse>, Status> {
        self.cancel.call(request).await
    }

    async fn mark_fulfilled(
        &self,
        _: Request<orders::MarkFulfilledRequest>,
    ) -> Result<Response<orders::MarkFulfilledResponse>, Status> {
        Err(Status::unimplemented("the gateway never fulfils"))
    }
}

/// Serves both on one port, for as long as the test's runtime lives; the URL.
pub(crate) async fn serve(inventory: Arc<Inventory>, orders: Arc<Orders>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(InventoryServiceServer::from_arc(inventory))
        .add_service(OrdersServiceServer::from_arc(orders))
        .serve_with_incoming(TcpIncoming::from(listener));
    #[expect(
        clippy::disallowed_methods,
        reason = "a fake of this test's own, which ends with its runtime"
    )]
    tokio::spawn(server);
    format!("http://{address}")
}
