//! The only way one service calls another.
//!
//! A service declares its [`Peer`]s once, as data: every RPC with its cap and floor, and which of the service's own handlers
//! make the call. A [`Downstream`] is made from that and the settings at start; a stub can be had from it only together with
//! the [`RequestContext`](mesh_context::RequestContext) of the request being worked on.
//!
//! ```text
//!  generated stub ── Calls (one request's) ──────────────────────────────────────────────► tonic Channel ──► peer
//!                      │ 1 declared?   else refused                                          one lazy HTTP/2
//!                      │ 2 deadline    min(cap, remaining − reserve); below the floor: not sent   connection
//!                      │ 3 bulkhead    no room for one more to this peer: not sent
//!                      │ 4 headers     trace, request id, grpc-timeout
//!                      │ 5 timer       DEADLINE_EXCEEDED, also while the body arrives
//!                      └ 6 record      metrics, span when sampled
//! ```
//!
//! Nothing here tries again or chooses between hosts: the mesh does.
//!
//! ```
//! use std::{collections::BTreeMap, time::Duration};
//! use mesh_client::{Call, Downstream, DownstreamConfig, Order, Peer, Use};
//! use mesh_config::Reader;
//! use mesh_context::{Policy, RequestContext};
//! use mesh_proto::payments::v1::payments_service_client::PaymentsServiceClient;
//!
//! static PAYMENTS: Peer = Peer {
//!     name: "payments",
//!     calls: &[Call {
//!         rpc: "/shop.payments.v1.PaymentsService/GetCharge",
//!         cap: Duration::from_millis(950),
//!         floor: Duration::from_millis(25),
//!         uses: &[Use { handler: "reconciler", order: Order::Sequence, at_most: 1 }],
//!     }],
//! };
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let source = BTreeMap::new();
//! let config = DownstreamConfig::read(&mut Reader::new(&source), &PAYMENTS);
//! let payments = Downstream::new(&PAYMENTS, &config, &prometheus::Registry::new())?;
//!
//! let context = RequestContext::for_task("reconciler", Duration::from_secs(5), &Policy::inside(Duration::from_secs(5)));
//! let stub = payments.stub(&context, PaymentsServiceClient::new);
//! # drop(stub);
//! # Ok::<(), mesh_client::BuildError>(()) }).unwrap();
//! ```
//!
//! Without a context there is no stub:
//!
//! ```compile_fail
//! # use mesh_client::Downstream;
//! # use mesh_proto::payments::v1::payments_service_client::PaymentsServiceClient;
//! fn forgets_headers_and_deadline(payments: &Downstream) {
//!     let stub = payments.stub(PaymentsServiceClient::new); // expected a &RequestContext
//! }
//! ```
//!
//! ```compile_fail
//! # use mesh_client::Downstream;
//! # use mesh_proto::payments::v1::payments_service_client::PaymentsServiceClient;
//! fn goes_around(payments: Downstream) {
//!     let stub = PaymentsServiceClient::new(payments); // Downstream is no transport
//!     drop(stub.get_charge(mesh_proto::payments::v1::GetChargeRequest::default()));
//! }
//! ```

mod body;
mod bulkhead;
mod call;
mod call_graph;
mod config;
mod downstream;
mod error;
mod metrics;
mod record;
mod refusal;

pub use call::Calls;
pub use call_graph::{Call, Order, Peer, Use};
pub use config::DownstreamConfig;
pub use downstream::{BuildError, Downstream};
pub use error::{Error, Kind};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
