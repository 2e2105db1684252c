//! The RPCs: wire types to domain types and back, no rules.

use mesh_config::Secret;
use mesh_context::{Deadline, RequestContext};
use mesh_proto::payments::v1::{
    self as wire, ChargeState, payments_service_server::PaymentsService,
};
use tonic::{Request, Response, Status};

use crate::{
    charge::{Amount, Invalid, Key, Order, State},
    error::Error,
    provider::Provider,
    service::Service,
};

#[tonic::async_trait]
impl<P: Provider> PaymentsService for Service<P> {
    async fn charge(
        &self,
        request: Request<wire::ChargeRequest>,
    ) -> Result<Response<wire::ChargeResponse>, Status> {
        let deadline = deadline(&request);
        let order = order(request.into_inner()).map_err(Error::from)?;
        let state = Service::charge(self, order, deadline).await?;
        Ok(Response::new(wire::ChargeResponse {
            state: charge_state(Some(state)).into(),
        }))
    }

    async fn refund(
        &self,
        request: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        let deadline = deadline(&request);
        let wire::RefundRequest { key } = request.into_inner();
        let key = Key::parse(key).map_err(Error::from)?;
        let state = Service::refund(self, key, deadline).await?;
        Ok(Response::new(wire::RefundResponse {
            state: charge_state(Some(state)).into(),
        }))
    }

    async fn get_charge(
        &self,
        request: Request<wire::GetChargeRequest>,
    ) -> Result<Response<wire::GetChargeResponse>, Status> {
        let deadline = deadline(&request);
        let wire::GetChargeRequest { key } = request.into_inner();
        let key = Key::parse(key).map_err(Error::from)?;
        let state = self.find(&key, deadline).await?;
        Ok(Response::new(wire::GetChargeResponse {
            state: charge_state(state).into(),
        }))
    }
}

fn deadline<T>(request: &Request<T>) -> Deadline {
    let context = request.extensions().get::<RequestContext>();
    context
        .expect("the chassis gives every request its context")
        .deadline()
}

fn order(request: wire::ChargeRequest) -> Result<Order, Invalid> {
    let wire::ChargeRequest {
        key,
        amount,
        payment_token,
    } = request;
    let token = Secret::new(payment_token);
    let key = Key::parse(key)?;
    let amount = amount.ok_or(Invalid::Amount)?;
    let amount = Amount::new(amount.currency, amount.amount_minor)?;
    Ok(Order { key, amount, token })
}

/// What is unfinished here has taken nothing, as far as is known.
fn charge_state(state: Option<State>) -> ChargeState {
    match state {
        None | Some(State::Started) => ChargeState::None,
        Some(State::Charged) => ChargeState::Charged,
        Some(State::Declined) => ChargeState::Declined,
        Some(State::Refunded) => ChargeState::Refunded,
        Some(State::Voided) => ChargeState::Voided,
    }
}
