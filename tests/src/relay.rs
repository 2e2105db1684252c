//! One more hop: a process that takes the place of payments and passes each charge on to payments. Made of the same
//! chassis and client as the services, so that a chain of calls can be made one longer than the shop's own.

use std::time::Duration;

use mesh_chassis::{BoxError, Defaults, GrpcInbound, Inbound, Process, Runtime};
use mesh_client::{Call, Downstream, DownstreamConfig, Order, Peer, Use};
use mesh_config::{Reader, Section};
use mesh_context::RequestContext;
use mesh_proto::payments::v1::{
    ChargeRequest, ChargeResponse, GetChargeRequest, GetChargeResponse, RefundRequest,
    RefundResponse,
    payments_service_client::PaymentsServiceClient,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use tonic::{Request, Response, Status};

const CHARGE: &str = "/shop.payments.v1.PaymentsService/Charge";

const NEXT: Peer = Peer {
    name: "payments",
    calls: &[Call {
        rpc: CHARGE,
        cap: Duration::from_millis(3400),
        floor: Duration::from_millis(50),
        uses: &[Use {
            handler: CHARGE,
            order: Order::Sequence,
            at_most: 1,
        }],
    }],
};

/// The process.
#[derive(Debug)]
pub struct Relay;

/// Its settings.
#[derive(Debug)]
pub struct Config {
    next: DownstreamConfig,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            next: DownstreamConfig::read(reader, &NEXT),
        }
    }
}

impl Process for Relay {
    const NAME: &'static str = "relay";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("0.0.0.0:50051"),
        request_timeout: Duration::from_millis(3400),
        edge: false,
    };
    type Config = Config;

    fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        let next = Downstream::new(&NEXT, &config.next, runtime.metrics())?;
        let service = PaymentsServiceServer::new(Service { next });
        Ok(Inbound::Grpc(
            GrpcInbound::new(mesh_proto::FILE_DESCRIPTOR_SET).add(service),
        ))
    }
}

#[derive(Debug)]
struct Service {
    next: Downstream,
}

#[tonic::async_trait]
impl PaymentsService for Service {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let context = request
            .extensions()
            .get::<RequestContext>()
            .expect("the chassis puts it there")
            .clone();
        let answer = self
            .next
            .stub(&context, PaymentsServiceClient::new)
            .charge(request.into_inner())
            .await;
        answer.map(|answer| Response::new(answer.into_inner()))
    }

    async fn refund(&self, _: Request<RefundRequest>) -> Result<Response<RefundResponse>, Status> {
        Err(Status::unimplemented(
            "the relay passes charges on, nothing else",
        ))
    }

    async fn get_charge(
        &self,
        _: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        Err(Status::unimplemented(
            "the relay passes charges on, nothing else",
        ))
    }
}
