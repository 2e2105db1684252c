//! One orders service, or several on one store, and what surrounds it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use mesh_chassis::testing::TestRuntime;
use mesh_client::{Downstream, DownstreamConfig, Peer};
use mesh_config::Reader;
use mesh_context::{Deadline, Policy, RequestContext};
use mesh_orders::{Clock, INVENTORY, PAYMENTS, Reconciler, Service};
use mesh_proto::orders::v1::{
    CancelOrderRequest, GetOrderRequest, Line, ListOrdersRequest, ListOrdersResponse,
    MarkFulfilledRequest, Order, OrderStatus, PlaceOrderRequest, PlaceOrderResponse,
    orders_service_server::OrdersService as _, place_order_response::Outcome,
};
use mesh_store::Store;
use sqlx::Row as _;
use tonic::{Request, Status};

use crate::fakes::{self, Inventory, Payments, Script};

/// Long enough for a busy machine; no test waits so long when all is well.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) reconciler: Reconciler,
    pub(crate) store: Store,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) payments: Arc<Payments>,
    pub(crate) script: Arc<Script>,
    now: Arc<Mutex<SystemTime>>,
    _runtime: TestRuntime,
}

impl World {
    pub(crate) async fn new(store: Store) -> Self {
        let script = Arc::new(Script::default());
        let inventory = Arc::new(Inventory::new(&script));
        let payments = Arc::new(Payments::new(&script));
        let addr = fakes::serve(Arc::clone(&inventory), Arc::clone(&payments)).await;
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let clock = {
            let now = Arc::clone(&now);
            Clock::new(move || *now.lock().unwrap())
        };
        let runtime = TestRuntime::new();
        let downstream = |peer: &'static Peer| {
            let source = ["INVENTORY", "PAYMENTS"]
                .map(|name| (format!("MESH_{name}_URL"), format!("http://{addr}")));
            let source = BTreeMap::from(source);
            let config = DownstreamConfig::read(&mut Reader::new(&source), peer);
            Downstream::new(peer, &config, &prometheus::Registry::new()).unwrap()
        };
        let (to_inventory, to_payments) = (downstream(&INVENTORY), downstream(&PAYMENTS));
        let tasks = runtime.runtime().tasks().clone();
        let service = Service::new(store.clone(), to_inventory, to_payments, tasks, clock);
        let reconciler = Reconciler::new(&service, runtime.runtime());
        Self {
            service,
            reconciler,
            store,
            inventory,
            payments,
            script,
            now,
            _runtime: runtime,
        }
    }

    /// Moves the time of day on.
    pub(crate) fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    pub(crate) async fn place(
        &self,
        request: PlaceOrderRequest,
    ) -> Result<PlaceOrderResponse, Status> {
        self.place_within(LIMIT, request).await
    }

    pub(crate) async fn place_within(
        &self,
        limit: Duration,
        request: PlaceOrderRequest,
    ) -> Result<PlaceOrderResponse, Status> {
        let answer = self.service.place_order(within(limit, request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Starts a call that goes on by itself, until the handle is aborted: its caller has gone.
    pub(crate) fn start_placing(
        &self,
        request: PlaceOrderRequest,
    ) -> tokio::task::JoinHandle<Result<PlaceOrderResponse, Status>> {
        let service = self.service.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "a caller is no task of the process"
        )]
        tokio::spawn(async move {
            let answer = service.place_order(within(LIMIT, request)).await;
            answer.map(tonic::Response::into_inner)
        })
    }

    /// One round of a reconciler that holds the lease, so much later.
    pub(crate) async fn reconcile(&self, later: Duration) {
        self.pass(later);
        assert!(self.reconciler.round(1).await, "nobody else has the lease");
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Order, Status> {
        let request = CancelOrderRequest { id: id.to_owned() };
        let answer = self.service.cancel_order(within(LIMIT, request)).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    pub(crate) async fn fulfil(&self, id: &str, message: &str) -> Result<(), Status> {
        let request = MarkFulfilledRequest {
            id: id.to_owned(),
            message_id: message.to_owned(),
        };
        let answer = self.service.mark_fulfilled(within(LIMIT, request));
        answer.await.map(|_| ())
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Order, Status> {
        let request = GetOrderRequest { id: id.to_owned() };
        let answer = self.service.get_order(within(LIMIT, request)).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    pub(crate) async fn list(
        &self,
        session: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListOrdersResponse, Status> {
        let (session, page_token) = (session.to_owned(), page_token.to_owned());
        let request = ListOrdersRequest {
            session,
            page_size,
            page_token,
        };
        let answer = self.service.list_orders(within(LIMIT, request)).await?;
        Ok(answer.into_inner())
    }

    /// Waits until there were so many calls of `rpc`.
    pub(crate) async fn called(&self, rpc: &str, times: usize) {
        let what = format!("{times} calls of {rpc}");
        until(&what, async || {
            let calls = self.script.keys(rpc).len();
            (calls == times).then_some(()).ok_or(calls)
        })
        .await;
    }

    /// A number from the store.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut tx = self.store.read(Deadline::after(LIMIT)).await.unwrap();
        let row = sqlx::query(sql).fetch_one(&mut *tx).await.unwrap();
        row.get(0)
    }

    /// Waits until a number in the store is as expected.
    pub(crate) async fn counted(&self, sql: &'static str, expected: i64) {
        until(sql, async || {
            let count = self.count(sql).await;
            (count == expected).then_some(()).ok_or(count)
        })
        .await;
    }

    /// Changes the store behind the service's back.
    pub(crate) async fn alter(&self, sql: &'static str) {
        let mut tx = self.store.begin(Deadline::after(LIMIT)).await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A request as the chassis hands it over.
fn within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let context = RequestContext::for_task("test", limit, &Policy::inside(limit));
    request.extensions_mut().insert(context);
    request
}

/// Waits for a condition that answers with what it found instead.
pub(crate) async fn until<T, E: std::fmt::Debug>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let end = Deadline::after(LIMIT);
    loop {
        match condition().await {
            Ok(found) => return found,
            Err(found) => assert!(!end.passed(), "{what}: still {found:?} after {LIMIT:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A request for two mugs and three pens.
pub(crate) fn order(key: &str, payment_token: &str) -> PlaceOrderRequest {
    order_of(key, payment_token, &[("mug", 2), ("pen", 3)])
}

pub(crate) fn order_of(key: &str, token: &str, lines: &[(&str, i32)]) -> PlaceOrderRequest {
    let line = |(sku, quantity): &(&str, i32)| Line {
        sku: (*sku).to_owned(),
        quantity: *quantity,
    };
    PlaceOrderRequest {
        idempotency_key: key.to_owned(),
        fingerprint: vec![7; 32],
        session: "session".to_owned(),
        lines: lines.iter().map(line).collect(),
        payment_token: token.to_owned(),
    }
}

/// The order of an answer, which has to have this outcome.
#[track_caller]
pub(crate) fn expect(
    answer: Result<PlaceOrderResponse, Status>,
    outcome: Outcome,
    replayed: bool,
) -> Order {
    let answer = answer.unwrap();
    assert_eq!((answer.outcome(), answer.replayed), (outcome, replayed));
    let order = answer.order.unwrap();
    let status = match outcome {
        Outcome::Confirmed => OrderStatus::Confirmed,
        Outcome::Pending => OrderStatus::Pending,
        Outcome::Declined | Outcome::OutOfStock => OrderStatus::Failed,
        Outcome::Unspecified => OrderStatus::Unspecified,
    };
    assert_eq!(order.status(), status);
    order
}

/// The code and message of an answer that has to be an error.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (tonic::Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}
