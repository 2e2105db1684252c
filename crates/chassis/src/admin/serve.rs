//! The accept loop of the admin listener and the limits on its clients.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{State, answer};

/// Open at once; the next waits. Probes, a scraper and a few people are far fewer.
const CONNECTIONS: usize = 64;
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
const BUFFER: usize = 16 << 10;
/// Longer than the longest answer, which is a profile of 60 s.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(120);
/// After an error of accept, most often that no file descriptor is left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Never ends on its own. Dropped, it closes all connections.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = connection(stream, peer, Arc::clone(&state));
                    connections.spawn(timeout(CONNECTION_LIFETIME, connection));
                }
                Err(error) => {
                    tracing::warn!(%error, "admin listener cannot accept");
                    sleep(BACK_OFF).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(state, peer, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "admin connection broke off");
    }
}
