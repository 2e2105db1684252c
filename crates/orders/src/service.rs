//! What orders does, and what it needs for that.

use mesh_chassis::Tasks;
use mesh_client::Downstream;
use mesh_context::RequestContext;
use mesh_store::Store;

use crate::{
    clock::Clock,
    error::{Error, Result},
    order::{Order, OrderId},
    page::Cursor,
    peers::Peers,
    placement::check_session,
    store::OrderStore,
};

const DEFAULT_PAGE: i32 = 50;
const MAX_PAGE: i32 = 100;

/// Places, shows and cancels orders.
#[derive(Debug, Clone)]
pub struct Service {
    pub(crate) store: OrderStore,
    pub(crate) peers: Peers,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) orders: Vec<Order>,
    /// Where the next one begins, if there is one.
    pub(crate) next: Option<String>,
}

impl Service {
    /// Connects nothing.
    #[must_use]
    pub fn new(
        store: Store,
        inventory: Downstream,
        payments: Downstream,
        tasks: Tasks,
        clock: Clock,
    ) -> Self {
        Self {
            store: OrderStore::new(store),
            peers: Peers::new(inventory, payments),
            tasks,
            clock,
        }
    }

    /// The order of that id; what is no id names no order.
    pub(crate) async fn get(&self, ctx: &RequestContext, id: &str) -> Result<Order> {
        let id: OrderId = id.parse().map_err(|_| Error::NotFound)?;
        let record = self.store.get(id, ctx.deadline()).await?;
        record.map(|record| record.order).ok_or(Error::NotFound)
    }

    /// A session's orders, newest first.
    pub(crate) async fn list(
        &self,
        ctx: &RequestContext,
        session: &str,
        size: i32,
        token: &str,
    ) -> Result<Page> {
        check_session(session)?;
        let cursor = match token {
            "" => None,
            token => Some(Cursor::parse(token, session)?),
        };
        // What belongs to no session belongs to many people.
        if session.is_empty() {
            let (orders, next) = (Vec::new(), None);
            return Ok(Page { orders, next });
        }
        let size = if size == 0 { DEFAULT_PAGE } else { size };
        let size = size.clamp(1, MAX_PAGE);
        // One more than asked for, to know whether there is another page.
        let limit = i64::from(size) + 1;
        let mut orders = self
            .store
            .list(session, cursor, limit, ctx.deadline())
            .await?;
        let size = usize::try_from(size).unwrap_or_default();
        let more = orders.len() > size;
        orders.truncate(size);
        let last = orders.last().filter(|_| more);
        let next = last.map(|order| Cursor::at(order).token(session));
        Ok(Page { orders, next })
    }
}
