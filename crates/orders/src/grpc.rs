//! The gRPC interface: wire types to domain types and back, no rules.

use mesh_config::Secret;
use mesh_context::RequestContext;
use mesh_proto::{
    money::v1::Money,
    orders::v1::{
        self as wire, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse,
        ListOrdersRequest, ListOrdersResponse, MarkFulfilledRequest, MarkFulfilledResponse,
        PlaceOrderRequest, PlaceOrderResponse, orders_service_server::OrdersService,
        place_order_response,
    },
};
use tonic::{Code, Request, Response, Status};

use crate::{
    error::Error,
    order::{Item, Line, Order, Status as OrderStatus},
    place::Placed,
    placement::{Malformed, Outcome, Placement},
    service::Service,
};

#[tonic::async_trait]
impl OrdersService for Service {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let ctx = context(&request);
        let placed = match Placement::try_from(request.into_inner()) {
            Ok(placement) => self.place(&ctx, &placement).await,
            Err(malformed) => Err(malformed.into()),
        };
        answer(&ctx, placed)
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let ctx = context(&request);
        let order = self.get(&ctx, &request.into_inner().id).await;
        answer(
            &ctx,
            order.map(|order| GetOrderResponse {
                order: Some(order.into()),
            }),
        )
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let ctx = context(&request);
        let ListOrdersRequest {
            session,
            page_size,
            page_token,
        } = request.into_inner();
        let page = self.list(&ctx, &session, page_size, &page_token).await;
        answer(
            &ctx,
            page.map(|page| ListOrdersResponse {
                orders: page.orders.into_iter().map(wire::Order::from).collect(),
                next_page_token: page.next.unwrap_or_default(),
            }),
        )
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let ctx = context(&request);
        let order = self.cancel(&ctx, &request.into_inner().id).await;
        answer(
            &ctx,
            order.map(|order| CancelOrderResponse {
                order: Some(order.into()),
            }),
        )
    }

    async fn mark_fulfilled(
        &self,
        request: Request<MarkFulfilledRequest>,
    ) -> Result<Response<MarkFulfilledResponse>, Status> {
        let ctx = context(&request);
        let MarkFulfilledRequest { id, message_id } = request.into_inner();
        let marked = Service::mark_fulfilled(self, &ctx, &id, &message_id).await;
        answer(&ctx, marked.map(|()| MarkFulfilledResponse {}))
    }
}

fn context<T>(request: &Request<T>) -> RequestContext {
    let ctx = request.extensions().get::<RequestContext>();
    ctx.expect("the chassis gives every request its context")
        .clone()
}

/// An error that is nobody else's fault is logged here, the one place that sees it whole.
fn answer<T, R: From<T>>(
    ctx: &RequestContext,
    outcome: Result<T, Error>,
) -> Result<Response<R>, Status> {
    match outcome {
        Ok(message) => Ok(Response::new(message.into())),
        Err(error) => {
            let (trace_id, request_id) = (ctx.trace_id(), ctx.request_id());
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            match error.code() {
                Code::Internal => {
                    tracing::error!(%trace_id, %request_id, %error, cause, "request failed");
                }
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                    tracing::warn!(%trace_id, %request_id, %error, cause, "request not served");
                }
                _ => tracing::debug!(%trace_id, %request_id, %error, "request refused"),
            }
            Err(error.into())
        }
    }
}

impl TryFrom<PlaceOrderRequest> for Placement {
    type Error = Malformed;

    fn try_from(request: PlaceOrderRequest) -> Result<Self, Malformed> {
        let PlaceOrderRequest {
            idempotency_key,
            fingerprint,
            session,
            lines,
            payment_token,
        } = request;
        let line = |wire::Line { sku, quantity }| Line { sku, quantity };
        Ok(Self {
            key: idempotency_key,
            fingerprint: Self::fingerprint(&fingerprint)?,
            session,
            lines: lines.into_iter().map(line).collect(),
            payment_token: Secret::new(payment_token),
        })
    }
}

impl From<Placed> for PlaceOrderResponse {
    fn from(Placed { answer, replayed }: Placed) -> Self {
        let outcome = match answer.outcome {
            Outcome::Confirmed => place_order_response::Outcome::Confirmed,
            Outcome::Pending => place_order_response::Outcome::Pending,
            Outcome::Declined => place_order_response::Outcome::Declined,
            Outcome::OutOfStock => place_order_response::Outcome::OutOfStock,
        };
        Self {
            outcome: outcome.into(),
            order: Some(answer.order.into()),
            replayed,
            out_of_stock_skus: answer.out_of_stock,
        }
    }
}

impl From<Order> for wire::Order {
    fn from(order: Order) -> Self {
        let Order {
            id,
            status,
            items,
            currency,
            total,
            created_at,
            updated_at,
        } = order;
        let status = match status {
            OrderStatus::Pending => wire::OrderStatus::Pending,
            OrderStatus::Confirmed => wire::OrderStatus::Confirmed,
            OrderStatus::Fulfilled => wire::OrderStatus::Fulfilled,
            OrderStatus::Cancelled => wire::OrderStatus::Cancelled,
            OrderStatus::Failed => wire::OrderStatus::Failed,
        };
        let items = items.into_iter().map(|item| wire_item(item, &currency));
        Self {
            id: id.to_string(),
            status: status.into(),
            items: items.collect(),
            total: Some(money(&currency, total)),
            created_at_us: created_at.0,
            updated_at_us: updated_at.0,
        }
    }
}

fn wire_item(item: Item, currency: &str) -> wire::OrderItem {
    let Item {
        sku,
        quantity,
        unit_price,
        total,
    } = item;
    wire::OrderItem {
        sku,
        quantity,
        unit_price: Some(money(currency, unit_price)),
        total: Some(money(currency, total)),
    }
}

fn money(currency: &str, amount_minor: i64) -> Money {
    Money {
        currency: currency.to_owned(),
        amount_minor,
    }
}
