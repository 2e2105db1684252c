//! The catalogue.

use axum::{Json, extract::State};
use mesh_chassis::Context;

use super::{App, Page};
use crate::{
    error::Error,
    product::{Product, ProductPage, Sku},
};

/// Lists the products on sale, ordered by sku.
#[utoipa::path(
    get, path = "/v1/products", operation_id = "listProducts", tag = "products",
    params(Page),
    responses(
        (status = 200, description = "One page of the catalogue.", body = ProductPage),
        (status = 400, description = "`page_size` is not a positive number, or `page_token` was not issued here."),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    Context(ctx): Context,
    page: Page,
) -> Result<Json<ProductPage>, Error> {
    app.peers.catalogue(&ctx, page).await.map(Json)
}

/// Shows one product.
#[utoipa::path(
    get, path = "/v1/products/{sku}", operation_id = "getProduct", tag = "products",
    params(("sku" = inline(Sku), Path, description = "Which product.", example = "espresso-cup")),
    responses(
        (status = 200, description = "The product.", body = Product),
        (status = 404, description = "There is no such product."),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Context(ctx): Context,
    sku: Sku,
) -> Result<Json<Product>, Error> {
    app.peers.product(&ctx, &sku).await.map(Json)
}
