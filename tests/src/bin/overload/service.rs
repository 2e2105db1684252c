//! The service that is overloaded: one RPC that costs a known amount of CPU and nothing else.

use std::time::Duration;

use mesh_chassis::{BoxError, Defaults, GrpcInbound, Inbound, Process, Runtime};
use mesh_config::{Reader, Section};
use mesh_proto::payments::v1::{
    ChargeRequest, ChargeResponse, GetChargeRequest, GetChargeResponse, RefundRequest,
    RefundResponse,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use rustix::time::{ClockId, clock_gettime};
use tonic::{Request, Response, Status};

/// After so much the handler lets others have the CPU, as one does that awaits its store now and then.
const SLICE: Duration = Duration::from_micros(100);

/// The process.
#[derive(Debug)]
pub(crate) struct KnownCost;

/// Its settings.
#[derive(Debug)]
pub(crate) struct Config {
    cost: Duration,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            cost: reader.duration("MESH_WORK_TIME", Duration::from_millis(5)),
        }
    }
}

impl Process for KnownCost {
    const NAME: &'static str = "known-cost";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("127.0.0.1:50051"),
        request_timeout: Duration::from_secs(1),
        edge: false,
    };
    type Config = Config;

    fn build(config: Config, _: &Runtime) -> Result<Inbound, BoxError> {
        let service = PaymentsServiceServer::new(Service(config.cost));
        let inbound = GrpcInbound::new(mesh_proto::FILE_DESCRIPTOR_SET).add(service);
        Ok(Inbound::Grpc(inbound))
    }
}

#[derive(Debug)]
struct Service(Duration);

#[tonic::async_trait]
impl PaymentsService for Service {
    async fn get_charge(
        &self,
        _: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        work(self.0).await;
        Ok(Response::new(GetChargeResponse::default()))
    }

    async fn charge(&self, _: Request<ChargeRequest>) -> Result<Response<ChargeResponse>, Status> {
        Err(Status::unimplemented("only GetCharge has a known cost"))
    }

    async fn refund(&self, _: Request<RefundRequest>) -> Result<Response<RefundResponse>, Status> {
        Err(Status::unimplemented("only GetCharge has a known cost"))
    }
}

/// Uses so much CPU time, however often others have the CPU meanwhile.
async fn work(cost: Duration) {
    let mut left = cost;
    while !left.is_zero() {
        let slice = left.min(SLICE);
        burn(slice);
        left -= slice;
        tokio::task::yield_now().await;
    }
}

fn burn(cost: Duration) {
    let start = cpu_time();
    while cpu_time().saturating_sub(start) < cost {
        std::hint::spin_loop();
    }
}

/// What this thread has used.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).expect("a thread uses no negative time")
}
