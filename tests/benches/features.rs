//! What each feature of the client and the server side costs over a bare tonic call.
//!
//! Both sides run on one thread, with enough calls at once that nobody waits for a wake-up, and its CPU time is what
//! counts: what differs between two cases is the work done for a call, not how threads find each other or who else is
//! busy. At the end a table of ratios.

use std::{
    fmt::Write as _,
    fs,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{Criterion, Throughput};
use mesh_chassis::{
    GrpcInbound, Inbound,
    server::{AccessEntry, AccessLog},
    testing::{TestRuntime, access_log},
};
use mesh_client::{Call, Downstream, DownstreamConfig, Order, Peer, Use};
use mesh_context::{Policy, RequestContext, Sampler, Span, SpanSink};
use mesh_proto::payments::v1::{
    ChargeRequest, ChargeResponse, GetChargeRequest, GetChargeResponse, RefundRequest,
    RefundResponse,
    payments_service_client::PaymentsServiceClient,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::GrpcService,
    codegen::StdError,
    transport::{Endpoint, Server, server::TcpIncoming},
};

/// Calls at once.
const CONCURRENT: usize = 32;
/// Longer than any measurement: a context is made once.
const LONG: Duration = Duration::from_secs(3600);
/// Of the table: so many rounds, and in each so many calls of every case.
const ROUNDS: usize = 60;
const CALLS_OF_A_ROUND: u64 = 1000;

static PAYMENTS: Peer = Peer {
    name: "payments",
    calls: &[Call {
        rpc: "/shop.payments.v1.PaymentsService/GetCharge",
        cap: Duration::from_secs(5),
        floor: Duration::from_millis(25),
        uses: &[Use {
            handler: "bench",
            order: Order::Sequence,
            at_most: 1,
        }],
    }],
};

/// One way to make a call.
type OneCall = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

#[expect(clippy::print_stdout, reason = "it is a command")]
fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let cases = runtime
        .block_on(cases())
        .expect("the loopback has free ports");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("features");
    group
        .throughput(Throughput::Elements(1))
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    for (name, call) in &cases {
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|calls| runtime.block_on(make(calls, call)));
        });
    }
    group.finish();
    criterion.final_summary();
    // Without it cargo only wants to know whether the cases run.
    if std::env::args().any(|argument| argument == "--bench") {
        println!("\n{}", runtime.block_on(table(&cases)));
    }
}

/// Every case, from the bare call up.
async fn cases() -> anyhow::Result<Vec<(&'static str, Arc<OneCall>)>> {
    let silent: Arc<dyn AccessLog> = Arc::new(Silent);
    let written = access_log(fs::File::create("/dev/null")?)?;
    let quiet = Policy::inside(LONG);
    let sampled = Policy {
        spans: Some(Arc::new(Dropped)),
        ..quiet.clone()
    };
    let unsampled = Policy {
        sampler: Sampler::OFF,
        ..sampled.clone()
    };
    let bare = bare_server()?;
    let plain = our_server(&quiet, &silent).await?;
    let exporting = our_server(&unsampled, &silent).await?;
    let recording = our_server(&sampled, &silent).await?;
    let logging = our_server(&sampled, &written).await?;
    Ok(vec![
        ("bare tonic client and server", bare_client(bare)?),
        ("our client", our_client(bare, &quiet)?),
        ("our server", bare_client(plain)?),
        ("both, no export", our_client(plain, &quiet)?),
        (
            "both, export on, unsampled",
            our_client(exporting, &unsampled)?,
        ),
        ("both, every call sampled", our_client(recording, &sampled)?),
        ("both, sampled, access log", our_client(logging, &sampled)?),
    ])
}

fn bare_server() -> anyhow::Result<SocketAddr> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let incoming = incoming.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let server = Server::builder().add_service(PaymentsServiceServer::new(Answers));
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve_with_incoming(incoming));
    tasks.detach_all();
    Ok(address)
}

async fn our_server(policy: &Policy, log: &Arc<dyn AccessLog>) -> anyhow::Result<SocketAddr> {
    let inbound =
        GrpcInbound::new(mesh_proto::FILE_DESCRIPTOR_SET).add(PaymentsServiceServer::new(Answers));
    let runtime = TestRuntime::keeping_nothing(policy.clone());
    let served = runtime.serve_logged(Inbound::Grpc(inbound), Arc::clone(log));
    let address = served.await.map_err(anyhow::Error::from_boxed)?;
    // Dropped it would end the server.
    Box::leak(Box::new(runtime));
    Ok(address)
}

fn bare_client(server: SocketAddr) -> anyhow::Result<Arc<OneCall>> {
    let channel = Endpoint::try_from(format!("http://{server}"))?.connect_lazy();
    let client = PaymentsServiceClient::new(channel);
    Ok(Arc::new(move || Box::pin(call(client.clone()))))
}

fn our_client(server: SocketAddr, policy: &Policy) -> anyhow::Result<Arc<OneCall>> {
    let config = DownstreamConfig {
        url: format!("http://{server}").parse()?,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 2 * CONCURRENT,
    };
    let payments = Downstream::new(&PAYMENTS, &config, &prometheus::Registry::new())?;
    let context = RequestContext::for_task("bench", LONG, policy);
    Ok(Arc::new(move || {
        Box::pin(call(payments.stub(&context, PaymentsServiceClient::new)))
    }))
}

async fn call<T>(mut client: PaymentsServiceClient<T>)
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    let request = GetChargeRequest {
        key: "0191f9a0-7c1b-7cc0-98f5-2d2d2d2d2d2d:charge:1".to_owned(),
    };
    let answer = client.get_charge(request).await;
    answer.expect("the server answers every call");
}

/// Makes `calls` calls and says how much CPU time they took, on both sides.
async fn make(calls: u64, call: &Arc<OneCall>) -> Duration {
    let left = Arc::new(AtomicU64::new(calls));
    let mut callers = JoinSet::new();
    let start = cpu_time();
    for _ in 0..CONCURRENT {
        let (call, left) = (Arc::clone(call), Arc::clone(&left));
        callers.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                call().await;
            }
        });
    }
    callers.join_all().await;
    cpu_time().saturating_sub(start)
}

/// What this thread has used.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).expect("a thread uses no negative time")
}

/// Each case against the first. In rounds, because a machine is faster at one time than at another: within a round all
/// cases have the same machine, and the median leaves out rounds in which they had not.
async fn table(cases: &[(&str, Arc<OneCall>)]) -> String {
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, call), times) in cases.iter().zip(&mut times) {
            let took = make(CALLS_OF_A_ROUND, call).await.as_secs_f64();
            times.push(took * 1e6 / CALLS_OF_A_ROUND as f64);
        }
    }
    let bare = times[0].clone();
    let mut table =
        String::from("| calls | CPU time, both sides | against the bare call |\n|---|---|---|\n");
    for ((name, _), times) in cases.iter().zip(times) {
        let ratios = times.iter().zip(&bare).map(|(time, bare)| time / bare);
        let ratio = median(ratios.collect());
        let _ = writeln!(table, "| {name} | {:.1} µs | {ratio:.2} |", median(times));
    }
    table
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[derive(Debug)]
struct Answers;

#[tonic::async_trait]
impl PaymentsService for Answers {
    async fn get_charge(
        &self,
        _: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        Ok(Response::new(GetChargeResponse::default()))
    }

    async fn charge(&self, _: Request<ChargeRequest>) -> Result<Response<ChargeResponse>, Status> {
        Err(Status::unimplemented("only GetCharge is measured"))
    }

    async fn refund(&self, _: Request<RefundRequest>) -> Result<Response<RefundResponse>, Status> {
        Err(Status::unimplemented("only GetCharge is measured"))
    }
}

/// Spans that are made and go nowhere.
#[derive(Debug)]
struct Dropped;

impl SpanSink for Dropped {
    fn submit(&self, span: Span) {
        drop(span);
    }
}

/// No access log.
#[derive(Debug)]
struct Silent;

impl AccessLog for Silent {
    fn write(&self, _: &AccessEntry<'_>) {}
}
