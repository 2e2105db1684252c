//! The services the gateway calls, and what it calls them for.

use std::time::Duration;

use mesh_chassis::crash_point;
use mesh_client::{BuildError, Call, Downstream, Order as CallOrder, Peer, Use};
use mesh_context::RequestContext;
use mesh_proto::{
    inventory::v1::{
        GetProductsRequest, GetProductsResponse, ListProductsRequest,
        inventory_service_client::InventoryServiceClient,
    },
    orders::v1::{
        CancelOrderRequest, GetOrderRequest, ListOrdersRequest, PlaceOrderRequest,
        orders_service_client::OrdersServiceClient,
    },
};
use tonic::{Response, Status};

use crate::{
    cart::{Cart, PricedCart},
    config::Config,
    error::{Error, Malformed},
    http::Page,
    order::{Order, OrderId, OrderPage, Placed},
    product::{Product, ProductPage, Sku},
    session::SessionName,
};

/// For what changes something: tried once, and given nearly all the time there is.
const WRITE_CAP: Duration = Duration::from_millis(4600);
const WRITE_FLOOR: Duration = Duration::from_millis(50);
/// For what only reads.
const READ_CAP: Duration = Duration::from_millis(950);
const READ_FLOOR: Duration = Duration::from_millis(25);

/// The orders service and all that the gateway asks of it.
pub static ORDERS: Peer = Peer {
    name: "orders",
    calls: &[
        Call {
            rpc: Rpc::PlaceOrder.path(),
            cap: WRITE_CAP,
            floor: WRITE_FLOOR,
            uses: &[once("POST /v1/orders")],
        },
        Call {
            rpc: Rpc::CancelOrder.path(),
            cap: WRITE_CAP,
            floor: WRITE_FLOOR,
            uses: &[once("POST /v1/orders/{id}/cancel")],
        },
        Call {
            rpc: Rpc::GetOrder.path(),
            cap: READ_CAP,
            floor: READ_FLOOR,
            uses: &[once("GET /v1/orders/{id}")],
        },
        Call {
            rpc: Rpc::ListOrders.path(),
            cap: READ_CAP,
            floor: READ_FLOOR,
            uses: &[once("GET /v1/orders")],
        },
    ],
};

/// The inventory service and all that the gateway asks of it.
pub static INVENTORY: Peer = Peer {
    name: "inventory",
    calls: &[
        Call {
            rpc: Rpc::ListProducts.path(),
            cap: READ_CAP,
            floor: READ_FLOOR,
            uses: &[once("GET /v1/products")],
        },
        Call {
            rpc: Rpc::GetProducts.path(),
            cap: READ_CAP,
            floor: READ_FLOOR,
            uses: &[
                once("GET /v1/products/{sku}"),
                once("GET /v1/cart"),
                // Whether the product exists, then the prices of the whole cart.
                twice("PUT /v1/cart/items/{sku}"),
                twice("DELETE /v1/cart/items/{sku}"),
            ],
        },
    ],
};

const fn once(handler: &'static str) -> Use {
    Use {
        handler,
        order: CallOrder::Sequence,
        at_most: 1,
    }
}

const fn twice(handler: &'static str) -> Use {
    Use {
        handler,
        order: CallOrder::Sequence,
        at_most: 2,
    }
}

/// Every call the gateway makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    PlaceOrder,
    CancelOrder,
    GetOrder,
    ListOrders,
    ListProducts,
    GetProducts,
}

impl Rpc {
    const fn path(self) -> &'static str {
        match self {
            Self::PlaceOrder => "/shop.orders.v1.OrdersService/PlaceOrder",
            Self::CancelOrder => "/shop.orders.v1.OrdersService/CancelOrder",
            Self::GetOrder => "/shop.orders.v1.OrdersService/GetOrder",
            Self::ListOrders => "/shop.orders.v1.OrdersService/ListOrders",
            Self::ListProducts => "/shop.inventory.v1.InventoryService/ListProducts",
            Self::GetProducts => "/shop.inventory.v1.InventoryService/GetProducts",
        }
    }

    fn peer(self) -> &'static str {
        match self {
            Self::PlaceOrder | Self::CancelOrder | Self::GetOrder | Self::ListOrders => ORDERS.name,
            Self::ListProducts | Self::GetProducts => INVENTORY.name,
        }
    }
}

/// The way to both, one method per call.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    orders: Downstream,
    inventory: Downstream,
}

impl Peers {
    /// Connects nothing: the first call does.
    pub(crate) fn new(config: &Config, metrics: &prometheus::Registry) -> Result<Self, BuildError> {
        Ok(Self {
            orders: Downstream::new(&ORDERS, &config.orders, metrics)?,
            inventory: Downstream::new(&INVENTORY, &config.inventory, metrics)?,
        })
    }

    pub(crate) async fn place_order(
        &self,
        ctx: &RequestContext,
        request: PlaceOrderRequest,
    ) -> Result<Placed, Error> {
        let mut stub = self.orders.stub(ctx, OrdersServiceClient::new);
        crash_point("gateway.place.before");
        let answer = stub.place_order(request).await;
        crash_point("gateway.place.after");
        settle(ctx, Rpc::PlaceOrder, answer, Placed::try_from)
    }

    pub(crate) async fn cancel_order(
        &self,
        ctx: &RequestContext,
        id: OrderId,
    ) -> Result<Order, Error> {
        let mut stub = self.orders.stub(ctx, OrdersServiceClient::new);
        let answer = stub
            .cancel_order(CancelOrderRequest { id: id.to_string() })
            .await;
        settle(ctx, Rpc::CancelOrder, answer, |answer| {
            answer.order.try_into()
        })
    }

    pub(crate) async fn order(&self, ctx: &RequestContext, id: OrderId) -> Result<Order, Error> {
        let mut stub = self.orders.stub(ctx, OrdersServiceClient::new);
        let answer = stub.get_order(GetOrderRequest { id: id.to_string() }).await;
        settle(ctx, Rpc::GetOrder, answer, |answer| answer.order.try_into())
    }

    pub(crate) async fn orders(
        &self,
        ctx: &RequestContext,
        session: &SessionName,
        page: Page,
    ) -> Result<OrderPage, Error> {
        let mut stub = self.orders.stub(ctx, OrdersServiceClient::new);
        let request = ListOrdersRequest {
            session: session.as_str().to_owned(),
            page_size: page.page_size,
            page_token: page.page_token,
        };
        let answer = stub.list_orders(request).await;
        settle(ctx, Rpc::ListOrders, answer, OrderPage::try_from)
    }

    pub(crate) async fn catalogue(
        &self,
        ctx: &RequestContext,
        page: Page,
    ) -> Result<ProductPage, Error> {
        let mut stub = self.inventory.stub(ctx, InventoryServiceClient::new);
        let request = ListProductsRequest {
            page_size: page.page_size,
            page_token: page.page_token,
        };
        let answer = stub.list_products(request).await;
        settle(ctx, Rpc::ListProducts, answer, ProductPage::try_from)
    }

    /// The product of this sku, or that there is none.
    pub(crate) async fn product(&self, ctx: &RequestContext, sku: &Sku) -> Result<Product, Error> {
        let answer = self.get_products(ctx, [sku]).await;
        let found = settle(ctx, Rpc::GetProducts, answer, |answer| {
            Ok(products(answer)?
                .into_iter()
                .find(|product| product.sku == *sku))
        });
        found?.ok_or(Error::NotFound("product"))
    }

    /// The cart at today's prices. For an empty one nobody is asked.
    pub(crate) async fn priced(
        &self,
        ctx: &RequestContext,
        cart: &Cart,
    ) -> Result<PricedCart, Error> {
        if cart.is_empty() {
            return Ok(PricedCart::empty());
        }
        let answer = self.get_products(ctx, cart.skus()).await;
        settle(ctx, Rpc::GetProducts, answer, |answer| {
            cart.priced(products(answer)?)
        })
    }

    async fn get_products(
        &self,
        ctx: &RequestContext,
        skus: impl IntoIterator<Item = &Sku>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let skus = skus
            .into_iter()
            .map(|sku| sku.as_str().to_owned())
            .collect();
        let mut stub = self.inventory.stub(ctx, InventoryServiceClient::new);
        stub.get_products(GetProductsRequest { skus }).await
    }
}

fn products(answer: GetProductsResponse) -> Result<Vec<Product>, Malformed> {
    answer.products.into_iter().map(Product::try_from).collect()
}

/// Reads an answer, or says what it means to the customer that there is none; what peers did wrong is logged.
fn settle<W, T>(
    ctx: &RequestContext,
    rpc: Rpc,
    answer: Result<Response<W>, Status>,
    read: impl FnOnce(W) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let (error, reason) = match answer {
        Ok(answer) => match read(answer.into_inner()) {
            Ok(value) => return Ok(value),
            Err(malformed) => (Error::BadGateway, format!("malformed answer: {malformed}")),
        },
        Err(status) => {
            let failure = mesh_client::Error::new(rpc.peer(), rpc.path(), status);
            let error = Error::of_call(rpc, failure.code(), failure.message());
            (error, failure.to_string())
        }
    };
    if error.status().is_server_error() {
        tracing::warn!(
            trace_id = %ctx.trace_id(), request_id = %ctx.request_id(),
            peer = rpc.peer(), rpc = rpc.path(), status = error.status().as_u16(), reason,
            "a call failed"
        );
    }
    Err(error)
}
