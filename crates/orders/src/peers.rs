//! Whom orders calls: the calls as data, and one typed method for each.
//!
//! The release of a failed order is no call of `PlaceOrder`: a charge may take so long that it would find no time left.

use std::time::Duration;

use mesh_client::{Call, Downstream, Error, Order, Peer, Use};
use mesh_context::RequestContext;
use mesh_proto::{
    inventory::v1::{
        Line as WireLine, ReleaseRequest, ReserveRequest, ReserveResponse, ReservedLine,
        inventory_service_client::InventoryServiceClient, release_response, reserve_response,
    },
    money::v1::Money,
    payments::v1::{
        ChargeRequest, ChargeState as WireState, GetChargeRequest, RefundRequest,
        payments_service_client::PaymentsServiceClient,
    },
};
use tonic::Status;

use crate::{
    charge::ChargeState,
    order::{Line, OrderId, PricedLine, Record},
};

const RESERVE: &str = "/shop.inventory.v1.InventoryService/Reserve";
const RELEASE: &str = "/shop.inventory.v1.InventoryService/Release";
const CHARGE: &str = "/shop.payments.v1.PaymentsService/Charge";
const GET_CHARGE: &str = "/shop.payments.v1.PaymentsService/GetCharge";
const REFUND: &str = "/shop.payments.v1.PaymentsService/Refund";

const PLACE_ORDER: &str = "/shop.orders.v1.OrdersService/PlaceOrder";
const CANCEL_ORDER: &str = "/shop.orders.v1.OrdersService/CancelOrder";

/// The compensation of a failed order, a section with time of its own.
pub(crate) const RELEASE_TASK: &str = "release";
/// What brings to an end what no request does any more; each order has its own time.
pub(crate) const RECONCILER: &str = "reconciler";

const fn once(handler: &'static str) -> Use {
    Use {
        handler,
        order: Order::Sequence,
        at_most: 1,
    }
}

const fn call(rpc: &'static str, cap_ms: u64, floor_ms: u64, uses: &'static [Use]) -> Call {
    Call {
        rpc,
        cap: Duration::from_millis(cap_ms),
        floor: Duration::from_millis(floor_ms),
        uses,
    }
}

/// Inventory, as orders calls it.
pub const INVENTORY: Peer = Peer {
    name: "inventory",
    calls: &[
        call(RESERVE, 650, 25, &[once(PLACE_ORDER)]),
        call(
            RELEASE,
            650,
            25,
            &[once(RELEASE_TASK), once(CANCEL_ORDER), once(RECONCILER)],
        ),
    ],
};

/// Payments, as orders calls it.
pub const PAYMENTS: Peer = Peer {
    name: "payments",
    calls: &[
        call(CHARGE, 3_400, 50, &[once(PLACE_ORDER)]),
        call(GET_CHARGE, 950, 25, &[once(PLACE_ORDER), once(RECONCILER)]),
        call(REFUND, 3_400, 50, &[once(CANCEL_ORDER), once(RECONCILER)]),
    ],
};

/// Stubs of the peers.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    inventory: Downstream,
    payments: Downstream,
}

/// What inventory answers when pieces are to be set aside.
#[derive(Debug)]
pub(crate) enum Reservation {
    Reserved(Vec<PricedLine>),
    /// Of some skus; the lines are all that was asked for.
    OutOfStock(Vec<String>, Vec<PricedLine>),
    UnknownProduct(Vec<String>),
}

/// What inventory answers when pieces are to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Released,
    /// Too late: they are sold.
    Committed,
}

impl Peers {
    pub(crate) fn new(inventory: Downstream, payments: Downstream) -> Self {
        Self {
            inventory,
            payments,
        }
    }

    /// Sets pieces aside for an order.
    pub(crate) async fn reserve(
        &self,
        ctx: &RequestContext,
        order: OrderId,
        lines: Vec<Line>,
    ) -> Result<Reservation, Error> {
        let request = ReserveRequest {
            order_id: order.to_string(),
            lines: lines.into_iter().map(WireLine::from).collect(),
        };
        let mut stub = self.inventory.stub(ctx, InventoryServiceClient::new);
        let answer = stub.reserve(request).await.map_err(inventory(RESERVE))?;
        Reservation::try_from(answer.into_inner()).map_err(inventory(RESERVE))
    }

    /// Gives back what is set aside for an order.
    pub(crate) async fn release(
        &self,
        ctx: &RequestContext,
        order: OrderId,
    ) -> Result<Release, Error> {
        let request = ReleaseRequest {
            order_id: order.to_string(),
        };
        let mut stub = self.inventory.stub(ctx, InventoryServiceClient::new);
        let answer = stub.release(request).await.map_err(inventory(RELEASE))?;
        match answer.into_inner().outcome() {
            release_response::Outcome::Released => Ok(Release::Released),
            release_response::Outcome::Committed => Ok(Release::Committed),
            release_response::Outcome::Unspecified => Err(inventory(RELEASE)(broken("no outcome"))),
        }
    }

    /// Takes the money for an order.
    pub(crate) async fn charge(
        &self,
        ctx: &RequestContext,
        record: &Record,
    ) -> Result<ChargeState, Error> {
        let token = record.payment_token.as_ref();
        let request = ChargeRequest {
            key: record.charge_key.clone(),
            amount: Some(Money {
                currency: record.order.currency.clone(),
                amount_minor: record.order.total,
            }),
            payment_token: token.map_or_else(String::new, |token| token.expose().to_owned()),
        };
        let mut stub = self.payments.stub(ctx, PaymentsServiceClient::new);
        let answer = stub.charge(request).await.map_err(payments(CHARGE))?;
        state(answer.into_inner().state()).map_err(payments(CHARGE))
    }

    /// Asks what became of a charge.
    pub(crate) async fn get_charge(
        &self,
        ctx: &RequestContext,
        key: &str,
    ) -> Result<ChargeState, Error> {
        let request = GetChargeRequest {
            key: key.to_owned(),
        };
        let mut stub = self.payments.stub(ctx, PaymentsServiceClient::new);
        let answer = stub
            .get_charge(request)
            .await
            .map_err(payments(GET_CHARGE))?;
        state(answer.into_inner().state()).map_err(payments(GET_CHARGE))
    }

    /// Gives back what was taken under a key, or sees to it that nothing can be.
    pub(crate) async fn refund(&self, ctx: &RequestContext, key: &str) -> Result<(), Error> {
        let request = RefundRequest {
            key: key.to_owned(),
        };
        let mut stub = self.payments.stub(ctx, PaymentsServiceClient::new);
        let answer = stub.refund(request).await.map_err(payments(REFUND))?;
        match state(answer.into_inner().state()) {
            Ok(ChargeState::Declined | ChargeState::Returned) => Ok(()),
            Ok(ChargeState::None | ChargeState::Charged) => {
                Err(payments(REFUND)(broken("the money was not given back")))
            }
            Err(status) => Err(payments(REFUND)(status)),
        }
    }
}

fn inventory(rpc: &'static str) -> impl Fn(Status) -> Error {
    move |status| Error::new(INVENTORY.name, rpc, status)
}

fn payments(rpc: &'static str) -> impl Fn(Status) -> Error {
    move |status| Error::new(PAYMENTS.name, rpc, status)
}

/// An answer that the contract does not allow.
fn broken(what: &'static str) -> Status {
    Status::data_loss(what)
}

fn state(state: WireState) -> Result<ChargeState, Status> {
    match state {
        WireState::None => Ok(ChargeState::None),
        WireState::Charged => Ok(ChargeState::Charged),
        WireState::Declined => Ok(ChargeState::Declined),
        WireState::Refunded | WireState::Voided => Ok(ChargeState::Returned),
        WireState::Unspecified => Err(broken("no state")),
    }
}

impl From<Line> for WireLine {
    fn from(Line { sku, quantity }: Line) -> Self {
        Self { sku, quantity }
    }
}

impl TryFrom<ReserveResponse> for Reservation {
    type Error = Status;

    fn try_from(answer: ReserveResponse) -> Result<Self, Status> {
        match answer.outcome.ok_or_else(|| broken("no outcome"))? {
            reserve_response::Outcome::Reserved(reserved) => {
                priced(reserved.lines).map(Self::Reserved)
            }
            reserve_response::Outcome::OutOfStock(short) => {
                Ok(Self::OutOfStock(short.skus, priced(short.lines)?))
            }
            reserve_response::Outcome::UnknownProduct(unknown) => {
                Ok(Self::UnknownProduct(unknown.skus))
            }
        }
    }
}

fn priced(lines: Vec<ReservedLine>) -> Result<Vec<PricedLine>, Status> {
    let line = |line: ReservedLine| {
        let price = line.unit_price.ok_or_else(|| broken("no price"))?;
        Ok(PricedLine {
            line: Line {
                sku: line.sku,
                quantity: line.quantity,
            },
            currency: price.currency,
            unit_price: price.amount_minor,
        })
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use mesh_chassis::Process as _;

    use super::*;
    use crate::{Orders, reconcile};

    /// The caps of the calls that `handler` makes one after the other.
    fn longest(handler: &str, without: &str) -> Duration {
        let calls = [&INVENTORY, &PAYMENTS]
            .into_iter()
            .flat_map(|peer| peer.calls);
        calls
            .filter(|call| call.rpc != without)
            .filter(|call| call.uses.iter().any(|used| used.handler == handler))
            .map(|call| call.cap)
            .sum()
    }

    #[test]
    fn the_calls_of_a_request_fit_into_its_time() {
        let time = Orders::DEFAULTS.request_timeout;
        // The first attempt has nothing to ask about; a later one has reserved already.
        assert!(longest(PLACE_ORDER, GET_CHARGE) < time);
        assert!(longest(PLACE_ORDER, RESERVE) < time);
        assert!(longest(CANCEL_ORDER, "") < time);
        assert!(longest(RECONCILER, "") < reconcile::TIME);
    }

    #[test]
    fn every_call_is_an_rpc_of_its_peer() {
        for peer in [&INVENTORY, &PAYMENTS] {
            for call in peer.calls {
                let service = format!("/shop.{}.v1.", peer.name);
                assert!(call.rpc.starts_with(&service), "{}", call.rpc);
                assert!(call.floor < call.cap, "{}", call.rpc);
            }
        }
    }
}
