//! One peer, ready to be called: its lazy connection, its limits and its metrics, shared by every request.

use std::{sync::Arc, time::Duration};

use mesh_context::RequestContext;
use prometheus::Registry;
use tonic::transport::{Channel, Endpoint};

use crate::{Calls, DownstreamConfig, Peer, bulkhead::Bulkhead, metrics::Metrics};

/// Pings a connection that is silent for so long, so that a dead one is found before a request needs it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A ping that is not answered in this time ends the connection.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer. Cheap to clone; all clones share one HTTP/2 connection, made when first needed and made again when it broke.
/// Which replica it leads to is the sidecar's decision.
#[derive(Debug, Clone)]
pub struct Downstream {
    channel: Channel,
    shared: Arc<Shared>,
}

/// What all calls to a peer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer: &'static Peer,
    pub(crate) timeout: Duration,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) bulkhead: Bulkhead,
    pub(crate) metrics: Metrics,
}

impl Shared {
    pub(crate) fn new(
        peer: &'static Peer,
        config: &DownstreamConfig,
        registry: &Registry,
    ) -> Result<Self, BuildError> {
        let metrics = Metrics::register(peer, registry).map_err(|source| BuildError {
            peer: peer.name,
            source,
        })?;
        Ok(Self {
            peer,
            timeout: config.timeout,
            host: config.url.host().unwrap_or_default().to_owned(),
            port: config.url.port_u16().unwrap_or(80),
            bulkhead: Bulkhead::new(peer, config.max_in_flight),
            metrics,
        })
    }
}

/// A peer that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("peer {peer}: its metrics are registered already")]
pub struct BuildError {
    peer: &'static str,
    #[source]
    source: prometheus::Error,
}

impl Downstream {
    /// Sets a peer up. Connects nothing; must be called inside a tokio runtime, which the connection lives in.
    ///
    /// # Errors
    /// The peer's metrics stand in the registry already.
    pub fn new(
        peer: &'static Peer,
        config: &DownstreamConfig,
        registry: &Registry,
    ) -> Result<Self, BuildError> {
        let channel = Endpoint::from(config.url.clone())
            .connect_timeout(config.connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Self {
            channel,
            shared: Arc::new(Shared::new(peer, config, registry)?),
        })
    }

    /// A stub for one request: `orders.stub(&context, OrdersServiceClient::new)`. The only way to one.
    pub fn stub<C>(&self, context: &RequestContext, make: impl FnOnce(Calls) -> C) -> C {
        make(Calls::new(
            self.channel.clone(),
            Arc::clone(&self.shared),
            context.clone(),
        ))
    }
}
