//! The OTLP/gRPC server that processes export to. It takes several requests at the same time, each at most 4 MiB; one
//! that is larger or cannot be decoded is refused alone, its connection goes on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    Store,
    forward::{Forward, Intake},
};

/// One request; the size that collectors take as a rule.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// Requests of one connection that are read at the same time.
const STREAMS: u32 = 16;

/// Bound to a port of loopback, and not serving yet.
#[derive(Debug)]
pub struct Receiver {
    incoming: TcpIncoming,
    address: SocketAddr,
    store: Store,
    forward: Option<Forward>,
}

impl Receiver {
    /// Takes a free port of 127.0.0.1. Call it inside the runtime that it will serve in.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn bind(store: Store, forward: Option<Forward>) -> io::Result<Self> {
        let incoming = TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self {
            address: incoming.local_addr()?,
            incoming: incoming.with_nodelay(Some(true)),
            store,
            forward,
        })
    }

    /// Where processes export to: the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts what it receives into the store, and forwards it, until it is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot listen any longer.
    pub async fn serve(self) -> Result<(), tonic::transport::Error> {
        let Self {
            incoming,
            address: _,
            store,
            forward,
        } = self;
        let service = Service {
            store,
            forward: forward.as_ref().map(Forward::intake),
        };
        let service = TraceServiceServer::new(service).max_decoding_message_size(LARGEST_REQUEST);
        let serve = Server::builder()
            .max_concurrent_streams(STREAMS)
            .add_service(service)
            .serve_with_incoming(incoming);
        match forward {
            None => serve.await,
            Some(forward) => tokio::select! {
                served = serve => served,
                never = forward.run() => match never {},
            },
        }
    }
}

#[derive(Clone, Debug)]
struct Service {
    store: Store,
    forward: Option<Intake>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        if let Some(forward) = &self.forward {
            forward.put(metadata, message.clone());
        }
        self.store.add(message.resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
