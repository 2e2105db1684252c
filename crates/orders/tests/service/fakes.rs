//! Inventory and payments as orders sees them: they do what their contracts say, or what a test tells them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use mesh_proto::{
    inventory::v1::{
        CommitRequest, CommitResponse, GetProductsRequest, GetProductsResponse,
        ListProductsRequest, ListProductsResponse, OutOfStock, ReleaseRequest, ReleaseResponse,
        ReserveRequest, ReserveResponse, Reserved, ReservedLine, UnknownProduct,
        inventory_service_server::{InventoryService, InventoryServiceServer},
        release_response, reserve_response,
    },
    money::v1::Money,
    payments::v1::{
        ChargeRequest, ChargeResponse, ChargeState, GetChargeRequest, GetChargeResponse,
        RefundRequest, RefundResponse,
        payments_service_server::{PaymentsService, PaymentsServiceServer},
    },
};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{
    Code, Request, Response, Status,
    transport::server::{Router, TcpIncoming},
};

/// Prices of what there is; 10 pieces of each.
const PRICES: [(&str, i64); 3] = [("mug", 1250), ("pen", 99), ("vase", 4000)];
const STOCK: i32 = 10;

/// Something that goes wrong with one call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing is done.
    Refuse(Code),
    /// It is done, and the answer gets lost.
    LoseAnswer(Code),
    /// It is done, and no answer comes.
    Silence,
    /// It waits at the gate, then all is well.
    Wait(Gate),
}

/// Holds a call up until it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.close();
    }

    async fn passed(&self) {
        let closed = self.0.acquire().await;
        assert!(closed.is_err(), "a gate has no permits");
    }
}

/// What both peers were asked, in order, and what shall go wrong.
#[derive(Debug, Default)]
pub(crate) struct Script {
    calls: Mutex<Vec<(&'static str, String)>>,
    faults: Mutex<BTreeMap<&'static str, VecDeque<Fault>>>,
}

impl Script {
    /// The next calls of `rpc` go wrong like this, one after the other.
    pub(crate) fn fail(&self, rpc: &'static str, faults: &[Fault]) {
        let mut all = lock(&self.faults);
        all.entry(rpc).or_default().extend(faults.iter().cloned());
    }

    /// The names of the calls.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        lock(&self.calls).iter().map(|(rpc, _)| *rpc).collect()
    }

    /// The keys under which `rpc` was called.
    pub(crate) fn keys(&self, rpc: &str) -> Vec<String> {
        let calls = lock(&self.calls);
        let of_rpc = calls.iter().filter(|(name, _)| *name == rpc);
        of_rpc.map(|(_, key)| key.clone()).collect()
    }

    async fn play<T>(
        &self,
        rpc: &'static str,
        key: &str,
        effect: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        lock(&self.calls).push((rpc, key.to_owned()));
        let fault = lock(&self.faults)
            .get_mut(rpc)
            .and_then(VecDeque::pop_front);
        match fault {
            None => effect().map(Response::new),
            Some(Fault::Refuse(code)) => Err(Status::new(code, "told to")),
            Some(Fault::LoseAnswer(code)) => {
                effect()?;
                Err(Status::new(code, "told to"))
            }
            Some(Fault::Silence) => {
                effect()?;
                std::future::pending().await
            }
            Some(Fault::Wait(gate)) => {
                gate.passed().await;
                effect().map(Response::new)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds it")
}

#[derive(Debug)]
enum Reservation {
    Held(Vec<(String, i32)>),
    Released,
    Committed,
}

/// The fake of inventory.
#[derive(Debug)]
pub(crate) struct Inventory {
    script: Arc<Script>,
    reservations: Mutex<BTreeMap<String, Reservation>>,
}

impl Inventory {
    pub(crate) fn new(script: &Arc<Script>) -> Self {
        Self {
            script: Arc::clone(script),
            reservations: Mutex::default(),
        }
    }

    /// Pieces of `sku` set aside or sold.
    pub(crate) fn taken(&self, sku: &str) -> i32 {
        let reservations = lock(&self.reservations);
        let held = reservations
            .values()
            .filter_map(|reservation| match reservation {
                Reservation::Held(lines) => Some(lines),
                Reservation::Released | Reservation::Committed => None,
            });
        let lines = held.flatten().filter(|(held, _)| held == sku);
        lines.map(|(_, quantity)| quantity).sum()
    }

    /// Fulfillment was here.
    pub(crate) fn commit(&self, order: &str) {
        lock(&self.reservations).insert(order.to_owned(), Reservation::Committed);
    }

    fn reserve_now(&self, request: ReserveRequest) -> Result<ReserveResponse, Status> {
        let price = |sku: &str| PRICES.iter().find(|(known, _)| *known == sku);
        let lines = &request.lines;
        let skus = |wrong: &dyn Fn(&str, i32) -> bool| -> Vec<String> {
            let wrong = lines.iter().filter(|line| wrong(&line.sku, line.quantity));
            wrong.map(|line| line.sku.clone()).collect()
        };
        let unknown = skus(&|sku, _| price(sku).is_none());
        let short = skus(&|sku, quantity| self.taken(sku) + quantity > STOCK);
        let priced = lines.iter().map(|line| ReservedLine {
            unit_price: price(&line.sku).map(|(_, amount_minor)| Money {
                currency: "EUR".to_owned(),
                amount_minor: *amount_minor,
            }),
            sku: line.sku.clone(),
            quantity: line.quantity,
        });
        let priced = priced.collect();
        let mut reservations = lock(&self.reservations);
        let outcome = match reservations.get(&request.order_id) {
            Some(Reservation::Released) => return Err(Status::failed_precondition("released")),
            None if !unknown.is_empty() => {
                reserve_response::Outcome::UnknownProduct(UnknownProduct { skus: unknown })
            }
            None if !short.is_empty() => {
                let (skus, lines) = (short, priced);
                reserve_response::Outcome::OutOfStock(OutOfStock { skus, lines })
            }
            None | Some(_) => {
                let held = lines.iter().map(|line| (line.sku.clone(), line.quantity));
                let held = Reservation::Held(held.collect());
                reservations.insert(request.order_id, held);
                reserve_response::Outcome::Reserved(Reserved { lines: priced })
            }
        };
        let outcome = Some(outcome);
        Ok(ReserveResponse { outcome })
    }

    fn release_now(&self, order: &str) -> ReleaseResponse {
        let mut reservations = lock(&self.reservations);
        let outcome = match reservations.get(order) {
            Some(Reservation::Committed) => release_response::Outcome::Committed,
            _ => {
                reservations.insert(order.to_owned(), Reservation::Released);
                release_response::Outcome::Released
            }
        };
        let outcome = outcome.into();
        ReleaseResponse { outcome }
    }
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let request = request.into_inner();
        let order = request.order_id.clone();
        let effect = || self.reserve_now(request);
        self.script.play("reserve", &order, effect).await
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let order = request.into_inner().order_id;
        let effect = || Ok(self.release_now(&order));
        self.script.play("release", &order, effect).await
    }

    async fn commit(&self, _: Request<CommitRequest>) -> Result<Response<CommitResponse>, Status> {
        Err(Status::unimplemented("orders never commits"))
    }

    async fn list_products(
        &self,
        _: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Err(Status::unimplemented("orders never asks"))
    }

    async fn get_products(
        &self,
        _: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        Err(Status::unimplemented("orders never asks"))
    }
}

/// The fake of payments, provider and ledger in one.
#[derive(Debug)]
pub(crate) struct Payments {
    script: Arc<Script>,
    ledger: Mutex<BTreeMap<String, (ChargeState, i64)>>,
}

impl Payments {
    pub(crate) fn new(script: &Arc<Script>) -> Self {
        Self {
            script: Arc::clone(script),
            ledger: Mutex::default(),
        }
    }

    /// What was taken and not given back.
    pub(crate) fn takings(&self) -> i64 {
        let ledger = lock(&self.ledger);
        let charged = ledger
            .values()
            .filter(|(state, _)| *state == ChargeState::Charged);
        charged.map(|(_, amount)| amount).sum()
    }

    /// Settles a key from outside, as the provider or a reconciler would.
    pub(crate) fn record(&self, key: &str, state: ChargeState) {
        lock(&self.ledger).insert(key.to_owned(), (state, 0));
    }

    /// A charge that arrives now, whoever still waits for it.
    pub(crate) fn charge_now(&self, request: ChargeRequest) -> Result<ChargeResponse, Status> {
        let state = match request.payment_token.as_str() {
            "tok_ok" => ChargeState::Charged,
            "tok_declined" => ChargeState::Declined,
            _ => return Err(Status::invalid_argument("unknown payment token")),
        };
        let amount = request.amount.map_or(0, |amount| amount.amount_minor);
        let mut ledger = lock(&self.ledger);
        let (state, _) = *ledger.entry(request.key).or_insert((state, amount));
        if state == ChargeState::Voided {
            return Err(Status::failed_precondition("voided"));
        }
        let state = state.into();
        Ok(ChargeResponse { state })
    }

    fn refund_now(&self, key: &str) -> RefundResponse {
        let mut ledger = lock(&self.ledger);
        let (state, _) = ledger
            .entry(key.to_owned())
            .or_insert((ChargeState::Voided, 0));
        if *state == ChargeState::Charged {
            *state = ChargeState::Refunded;
        }
        let state = (*state).into();
        RefundResponse { state }
    }

    fn state(&self, key: &str) -> GetChargeResponse {
        let state = lock(&self.ledger)
            .get(key)
            .map_or(ChargeState::None, |(state, _)| *state);
        let state = state.into();
        GetChargeResponse { state }
    }
}

#[tonic::async_trait]
impl PaymentsService for Payments {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let request = request.into_inner();
        let key = request.key.clone();
        let effect = || self.charge_now(request);
        self.script.play("charge", &key, effect).await
    }

    async fn refund(
        &self,
        request: Request<RefundRequest>,
    ) -> Result<Response<RefundResponse>, Status> {
        let key = request.into_inner().key;
        let effect = || Ok(self.refund_now(&key));
        self.script.play("refund", &key, effect).await
    }

    async fn get_charge(
        &self,
        request: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        let key = request.into_inner().key;
        let effect = || Ok(self.state(&key));
        self.script.play("get_charge", &key, effect).await
    }
}

/// Serves both peers on a port of its own for as long as the test's runtime lives.
pub(crate) async fn serve(inventory: Arc<Inventory>, payments: Arc<Payments>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let router: Router = tonic::transport::Server::builder()
        .add_service(InventoryServiceServer::from_arc(inventory))
        .add_service(PaymentsServiceServer::from_arc(payments));
    #[expect(
        clippy::disallowed_methods,
        reason = "a peer is no task of the process under test"
    )]
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}
