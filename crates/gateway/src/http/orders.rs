//! Placing, showing and cancelling orders.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::LOCATION};
use mesh_chassis::Context;
use mesh_context::RequestContext;

use super::{
    App, Page, body,
    place_order::{PlaceOrder, idempotency_key},
    visitor::Visitor,
};
use crate::{
    error::Error,
    order::{Order, OrderId, OrderPage, Outcome, Placed},
};

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Orders the items, or without `items` what is in the cart, and pays.
///
/// Repeating a request with the same `Idempotency-Key` is safe: it gives the stored answer, or goes on where the first
/// attempt broke off.
#[utoipa::path(
    post, path = "/v1/orders", operation_id = "placeOrder", tag = "orders",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters, new for each order.",
            pattern = "^[!-~]{1,255}$", example = "2f1b9c1e-1")),
    request_body = PlaceOrder,
    responses(
        (status = 201, description = "Ordered and paid.", body = Order, headers(
            ("Location" = String, description = "Where the order is."),
            ("Idempotent-Replayed" = String, description = "`true` when an earlier request had this answer."))),
        (status = 202, description = "The payment's outcome is not known yet: ask again, or repeat the request.",
         body = Order, headers(
            ("Location" = String, description = "Where the order is."))),
        (status = 400, description = "`Idempotency-Key` is missing or malformed, or the body is not JSON."),
        (status = 402, description = "The payment was declined.", headers(
            ("Idempotent-Replayed" = String, description = "`true` when an earlier request had this answer."))),
        (status = 409, description = "There are too few pieces, or an earlier request with this key is still at work.",
         headers(
            ("Idempotent-Replayed" = String, description = "`true` when an earlier request had this answer."),
            ("Retry-After" = u32, description = "Seconds, when it is worth asking again."))),
        (status = 413, description = "The body is longer than 64 KiB."),
        (status = 415, description = "The body is not said to be `application/json`."),
        (status = 422, description = "The JSON is not as it should be, a sku or the payment token is unknown, \
                                      the cart is empty, or the key was used for another request."),
    )
)]
pub(super) async fn place(
    State(app): State<App>,
    Context(ctx): Context,
    request: Request,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let json = body::Json::read(&head.headers, body).await?;
    let key = idempotency_key(&head.headers)?;
    let wanted: PlaceOrder = json.decode()?;

    let visitor = match Visitor::of(&*app.sessions, &head.headers, ctx.deadline()).await {
        Ok(visitor) => Some(visitor),
        Err(error) if wanted.is_from_cart() => return Err(error),
        // Items that are named need no session; the order will be in nobody's list.
        Err(_) => None,
    };
    let request = wanted.request(key, visitor.as_ref());
    let placed = app.peers.place_order(&ctx, request).await;
    if let (Ok(placed), Some(visitor), true) = (&placed, &visitor, wanted.is_from_cart()) {
        empty_cart(&app, &ctx, placed, visitor).await;
    }
    Ok(match visitor {
        Some(visitor) => visitor.answer(placed),
        None => placed.into_response(),
    })
}

/// Once the cart is ordered it is empty. A cart that is not what was ordered stays: the order is an older one, replayed.
async fn empty_cart(app: &App, ctx: &RequestContext, placed: &Placed, visitor: &Visitor) {
    let ordered = match &placed.outcome {
        Outcome::Confirmed(order) | Outcome::Pending(order) => order.is_of(&visitor.cart().lines()),
        Outcome::Declined | Outcome::OutOfStock(_) => false,
    };
    if ordered {
        // The order stands whether or not this works.
        let _ = visitor.empty_cart(&*app.sessions, ctx.deadline()).await;
    }
}

impl IntoResponse for Placed {
    fn into_response(self) -> Response {
        let mut response = match self.outcome {
            Outcome::Confirmed(order) => located(StatusCode::CREATED, order),
            Outcome::Pending(order) => located(StatusCode::ACCEPTED, order),
            Outcome::Declined => Error::Declined.into_response(),
            Outcome::OutOfStock(skus) => Error::OutOfStock(skus).into_response(),
        };
        if self.replayed {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, yes);
        }
        response
    }
}

fn located(status: StatusCode, order: Order) -> Response {
    let location = format!("/v1/orders/{}", order.id);
    (status, [(LOCATION, location)], Json(order)).into_response()
}

/// Lists the session's orders, newest first.
#[utoipa::path(
    get, path = "/v1/orders", operation_id = "listOrders", tag = "orders",
    params(Page),
    responses(
        (status = 200, description = "One page of orders.", body = OrderPage),
        (status = 400, description = "`page_size` is not a positive number, or `page_token` was not issued here."),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    Context(ctx): Context,
    page: Page,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let visitor = Visitor::of(&*app.sessions, &headers, ctx.deadline()).await?;
    let orders = app.peers.orders(&ctx, visitor.name(), page).await;
    Ok(visitor.answer(orders.map(Json)))
}

/// Shows an order to whoever knows its id.
#[utoipa::path(
    get, path = "/v1/orders/{id}", operation_id = "getOrder", tag = "orders",
    params(("id" = Uuid, Path, description = "Which order.")),
    responses(
        (status = 200, description = "The order.", body = Order),
        (status = 404, description = "There is no such order."),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Context(ctx): Context,
    id: OrderId,
) -> Result<Json<Order>, Error> {
    app.peers.order(&ctx, id).await.map(Json)
}

/// Cancels an order that is not yet fulfilled, and refunds it. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", operation_id = "cancelOrder", tag = "orders",
    params(("id" = Uuid, Path, description = "Which order.")),
    responses(
        (status = 200, description = "The order, cancelled.", body = Order),
        (status = 404, description = "There is no such order."),
        (status = 409, description = "The order is already fulfilled or failed, or its payment's outcome is not known yet.",
         headers(("Retry-After" = u32, description = "Seconds, when it is worth asking again."))),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Context(ctx): Context,
    id: OrderId,
) -> Result<Json<Order>, Error> {
    app.peers.cancel_order(&ctx, id).await.map(Json)
}
