//! The session's cart.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use http::HeaderMap;
use mesh_chassis::Context;
use mesh_context::RequestContext;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{App, body, visitor::Visitor};
use crate::{
    cart::PricedCart,
    error::Error,
    product::{Quantity, Sku},
};

/// How many pieces are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"quantity": 2}))]
pub(super) struct SetQuantity {
    #[schema(inline)]
    quantity: Quantity,
}

/// Shows the cart at today's prices.
#[utoipa::path(
    get, path = "/v1/cart", operation_id = "getCart", tag = "cart",
    responses(
        (status = 200, description = "The cart.", body = PricedCart),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Context(ctx): Context,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let visitor = Visitor::of(&*app.sessions, &headers, ctx.deadline()).await?;
    Ok(answer(&app, &ctx, visitor).await)
}

/// Puts a product into the cart, or changes how many pieces of it are wanted.
#[utoipa::path(
    put, path = "/v1/cart/items/{sku}", operation_id = "putCartItem", tag = "cart",
    params(("sku" = inline(Sku), Path, description = "Which product.", example = "espresso-cup")),
    request_body = SetQuantity,
    responses(
        (status = 200, description = "The new cart.", body = PricedCart),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "There is no such product."),
        (status = 413, description = "The body is longer than 64 KiB."),
        (status = 415, description = "The body is not said to be `application/json`."),
        (status = 422, description = "The JSON is not as it should be, or the cart holds 50 other products already."),
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    Context(ctx): Context,
    sku: Sku,
    request: Request,
) -> Result<Response, Error> {
    app.peers.product(&ctx, &sku).await?;
    let (head, body) = request.into_parts();
    let SetQuantity { quantity } = body::Json::read(&head.headers, body).await?.decode()?;
    let mut visitor = Visitor::of(&*app.sessions, &head.headers, ctx.deadline()).await?;
    let change = visitor
        .change(&*app.sessions, ctx.deadline(), |cart| {
            cart.set(sku.clone(), quantity)
        })
        .await;
    match change {
        Ok(()) => Ok(answer(&app, &ctx, visitor).await),
        Err(error) => Ok(visitor.answer(error)),
    }
}

/// Takes a product out of the cart, if it is in it.
#[utoipa::path(
    delete, path = "/v1/cart/items/{sku}", operation_id = "deleteCartItem", tag = "cart",
    params(("sku" = inline(Sku), Path, description = "Which product.", example = "espresso-cup")),
    responses(
        (status = 200, description = "The new cart.", body = PricedCart),
        (status = 404, description = "There is no such product."),
    )
)]
pub(super) async fn remove(
    State(app): State<App>,
    Context(ctx): Context,
    sku: Sku,
    headers: HeaderMap,
) -> Result<Response, Error> {
    app.peers.product(&ctx, &sku).await?;
    let mut visitor = Visitor::of(&*app.sessions, &headers, ctx.deadline()).await?;
    let change = visitor.change(&*app.sessions, ctx.deadline(), |cart| {
        cart.remove(&sku);
        Ok(())
    });
    change.await?;
    Ok(answer(&app, &ctx, visitor).await)
}

async fn answer(app: &App, ctx: &RequestContext, visitor: Visitor) -> Response {
    let priced = app.peers.priced(ctx, visitor.cart()).await;
    visitor.answer(priced.map(Json))
}
