//! The service listener: what a process answers, and the stack in front of it.
//!
//! ```text
//!  TCP ─► accept      accept errors back off; stops when told
//!          └► connection   which HTTP; limits on slow clients; graceful close; what was cut
//!              └► request      the one layer every request pays for:
//!                  ├ routes       which route, before anything can fail
//!                  ├ context      trace, request id, deadline (mesh-context)
//!                  ├ admission    room for it, or a short wait, or an answer at once
//!                  ├ rescue       deadline passed, handler panicked: the right answer in the right protocol
//!                  ├ record       metrics, access log line, span: made when the answer's last byte is handed over
//!                  └► the axum router, or the gRPC service of that name
//! ```
//!
//! Our own accept loop and not tonic's server: its shutdown waits for silent connections without end, its limit counts
//! per connection, and its timeouts answer `CANCELLED`.

mod accept;
mod activity;
mod admission;
mod code;
mod connection;
#[cfg(test)]
mod fixtures;
mod frames;
mod grpc;
mod host;
mod http;
mod metrics;
mod problem;
mod record;
mod request;
mod rescue;
mod response;
mod routes;
mod socket;
mod unreadable;
mod upload;

use std::{fmt, sync::Arc};

use mesh_context::Policy;
use tokio::net::TcpListener;

use self::{
    admission::Admission,
    metrics::Metrics,
    request::{Protocol, Shared, Stack},
    routes::Routes,
};
pub use self::{
    grpc::GrpcInbound,
    http::{Context, HttpInbound, Route},
    problem::Problem,
    record::{AccessEntry, AccessLog},
    upload::MAX_MESSAGE,
};
use crate::{BoxError, readiness::Readiness, shutdown::Shutdown};

/// What a process answers.
#[derive(Debug)]
pub enum Inbound {
    /// gRPC services.
    Grpc(GrpcInbound),
    /// An HTTP interface.
    Http(HttpInbound),
    /// Nothing: it only calls and consumes.
    None,
}

/// What a server needs from its process.
#[derive(Debug)]
pub struct ServerParts {
    /// How headers are read; its limit is the longest this process works on one request.
    pub policy: Policy,
    /// Requests in flight in the whole process.
    pub concurrency: usize,
    /// Where the server's metrics are registered.
    pub registry: prometheus::Registry,
    /// Gets one entry per request.
    pub access_log: Arc<dyn AccessLog>,
    /// What `grpc.health.v1` follows.
    pub readiness: Readiness,
    /// When to stop accepting, and when to drop what is left.
    pub shutdown: Shutdown,
}

/// What was left when a server had to end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Requests that got no answer, or half of one: route and request id.
    pub cut: Vec<String>,
}

/// A bound listener and what it will answer.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    answers: Answers,
    shutdown: Shutdown,
}

enum Answers {
    Grpc(Stack<grpc::Services>),
    Http(Stack<axum::Router>),
}

impl Server {
    /// Puts the stack in front of `inbound`. Nothing is accepted before [`serve`](Self::serve).
    ///
    /// # Errors
    /// A route is declared twice, a gRPC service is not in the descriptors, a metric is registered already, or there is
    /// nothing to answer.
    pub fn new(
        listener: TcpListener,
        inbound: Inbound,
        parts: ServerParts,
    ) -> Result<Self, BoxError> {
        let (readiness, shutdown) = (parts.readiness.clone(), parts.shutdown.clone());
        let answers = match inbound {
            Inbound::Grpc(inbound) => {
                let (services, routes) = inbound.build(readiness, shutdown.clone())?;
                Answers::Grpc(Stack::new(services, shared(Protocol::Grpc, routes, parts)?))
            }
            Inbound::Http(inbound) => {
                let (router, routes) = inbound.build()?;
                Answers::Http(Stack::new(router, shared(Protocol::Http, routes, parts)?))
            }
            Inbound::None => return Err("a listener is bound but nothing answers on it".into()),
        };
        Ok(Self {
            listener,
            answers,
            shutdown,
        })
    }

    /// Serves until the shutdown closes listeners, then drains: idle connections close at once, requests in flight
    /// finish. Ends when all have, or when the shutdown cuts: then it drops what is left and says what that was.
    pub async fn serve(self) -> Drained {
        let cut = match self.answers {
            Answers::Grpc(stack) => {
                accept::run(self.listener, stack, self.shutdown, accept::CONNECTIONS).await
            }
            Answers::Http(stack) => {
                accept::run(self.listener, stack, self.shutdown, accept::CONNECTIONS).await
            }
        };
        Drained { cut }
    }
}

/// Registers the metrics of a server for a process that has none: whoever adds up all processes finds zeros there.
pub(crate) fn metrics_of_none(registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
    Metrics::register(registry).map(drop)
}

fn shared(
    protocol: Protocol,
    routes: Routes,
    parts: ServerParts,
) -> Result<Shared, prometheus::Error> {
    let ServerParts {
        policy,
        concurrency,
        registry,
        access_log,
        readiness: _,
        shutdown: _,
    } = parts;
    Ok(Shared {
        protocol,
        admission: Admission::new(concurrency, routes.any_critical()),
        routes,
        policy,
        metrics: Metrics::register(&registry)?,
        access_log,
    })
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc(_) => "Grpc",
            Self::Http(_) => "Http",
        })
    }
}

#[cfg(test)]
mod tests;
