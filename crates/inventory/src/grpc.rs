//! The RPCs: wire types to domain types and back, no rules.

use mesh_context::{Deadline, RequestContext};
use mesh_proto::{
    inventory::v1::{
        self as wire, inventory_service_server::InventoryService, release_response,
        reserve_response,
    },
    money::v1::Money,
};
use tonic::{Request, Response, Status};

use crate::{
    catalogue::{Price, Product},
    error::Error,
    page,
    reservation::{Invalid, Lines, MessageId, OrderId},
    store::{Prices, Release, Reserve, Stock},
};

const USUAL_PAGE: i32 = 50;
const LARGEST_PAGE: i32 = 100;
const MOST_SKUS: usize = 100;

#[derive(Debug)]
pub(crate) struct Service {
    stock: Stock,
}

impl Service {
    pub(crate) fn new(stock: Stock) -> Self {
        Self { stock }
    }
}

#[tonic::async_trait]
impl InventoryService for Service {
    async fn list_products(
        &self,
        request: Request<wire::ListProductsRequest>,
    ) -> Result<Response<wire::ListProductsResponse>, Status> {
        let deadline = deadline(&request);
        let wire::ListProductsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let size = page_size_of(page_size).map_err(Error::from)?;
        let after = match page_token.as_str() {
            "" => String::new(),
            token => page::sku(token).ok_or(Error::from(Invalid::PageToken))?,
        };
        // One more than asked for tells whether this page is the last.
        let mut products = self
            .stock
            .list(&after, i64::from(size) + 1, deadline)
            .await?;
        let more = products.len() > usize::try_from(size).unwrap_or(usize::MAX);
        products.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let last = products.last().filter(|_| more);
        let next_page_token = last.map(|last| page::token(&last.sku)).unwrap_or_default();
        let products = products.into_iter().map(product).collect();
        Ok(Response::new(wire::ListProductsResponse {
            products,
            next_page_token,
        }))
    }

    async fn get_products(
        &self,
        request: Request<wire::GetProductsRequest>,
    ) -> Result<Response<wire::GetProductsResponse>, Status> {
        let deadline = deadline(&request);
        let wire::GetProductsRequest { skus } = request.into_inner();
        if skus.len() > MOST_SKUS {
            return Err(Error::from(Invalid::SkuCount).into());
        }
        let products = self
            .stock
            .get(&skus, deadline)
            .await?
            .into_iter()
            .map(product)
            .collect();
        Ok(Response::new(wire::GetProductsResponse { products }))
    }

    async fn reserve(
        &self,
        request: Request<wire::ReserveRequest>,
    ) -> Result<Response<wire::ReserveResponse>, Status> {
        let deadline = deadline(&request);
        let wire::ReserveRequest {
            order_id,
            lines: asked,
        } = request.into_inner();
        let order = OrderId::parse(&order_id).map_err(Error::from)?;
        let lines = asked.iter().map(|line| (line.sku.clone(), line.quantity));
        let lines = Lines::new(lines).map_err(Error::from)?;
        let outcome = match self.stock.reserve(&order, &lines, deadline).await? {
            Reserve::Reserved(prices) => {
                let lines = priced(asked, prices);
                reserve_response::Outcome::Reserved(wire::Reserved { lines })
            }
            Reserve::OutOfStock(skus, prices) => {
                let lines = priced(asked, prices);
                reserve_response::Outcome::OutOfStock(wire::OutOfStock { skus, lines })
            }
            Reserve::UnknownProduct(skus) => {
                reserve_response::Outcome::UnknownProduct(wire::UnknownProduct { skus })
            }
        };
        Ok(Response::new(wire::ReserveResponse {
            outcome: Some(outcome),
        }))
    }

    async fn commit(
        &self,
        request: Request<wire::CommitRequest>,
    ) -> Result<Response<wire::CommitResponse>, Status> {
        let deadline = deadline(&request);
        let wire::CommitRequest {
            order_id,
            message_id,
        } = request.into_inner();
        let order = OrderId::parse(&order_id).map_err(Error::from)?;
        let message = MessageId::parse(&message_id).map_err(Error::from)?;
        self.stock.commit(&order, &message, deadline).await?;
        Ok(Response::new(wire::CommitResponse {}))
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Result<Response<wire::ReleaseResponse>, Status> {
        let deadline = deadline(&request);
        let wire::ReleaseRequest { order_id } = request.into_inner();
        let order = OrderId::parse(&order_id).map_err(Error::from)?;
        let outcome = match self.stock.release(&order, deadline).await? {
            Release::Released => release_response::Outcome::Released,
            Release::Committed => release_response::Outcome::Committed,
        };
        Ok(Response::new(wire::ReleaseResponse {
            outcome: outcome.into(),
        }))
    }
}

fn deadline<T>(request: &Request<T>) -> Deadline {
    let context = request.extensions().get::<RequestContext>();
    context
        .expect("the chassis gives every request its context")
        .deadline()
}

fn page_size_of(asked: i32) -> Result<i32, Invalid> {
    match asked {
        0 => Ok(USUAL_PAGE),
        1.. => Ok(asked.min(LARGEST_PAGE)),
        _ => Err(Invalid::PageSize),
    }
}

fn priced(asked: Vec<wire::Line>, mut prices: Prices) -> Vec<wire::ReservedLine> {
    let priced = |wire::Line { sku, quantity }| wire::ReservedLine {
        unit_price: prices.remove(&sku).map(money),
        sku,
        quantity,
    };
    asked.into_iter().map(priced).collect()
}

fn product(product: Product) -> wire::Product {
    let Product {
        sku,
        name,
        description,
        price,
        available,
    } = product;
    wire::Product {
        sku,
        name,
        description,
        price: Some(money(price)),
        available,
    }
}

fn money(price: Price) -> Money {
    let Price {
        currency,
        amount_minor,
    } = price;
    Money {
        currency,
        amount_minor,
    }
}
