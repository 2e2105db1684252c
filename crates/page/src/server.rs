//! The accept loop, and the limits on clients. They come from this machine, but not every program on it is a friend.

use std::{convert::Infallible, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Open at once; the next waits. A browser opens six.
const CONNECTIONS: usize = 128;
/// To the end of a request's head; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A request's head, and what is held back for a client that does not read.
const BUFFER: usize = 16 << 10;
/// Then it is closed as soon as it is idle; who listens to events comes back by itself.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// To finish after that.
const GRACE: Duration = Duration::from_secs(30);
/// After an error of accept, most often that no file descriptor is left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Never ends on its own. Dropped, it closes all connections.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone()));
                }
                Err(_) => sleep(BACK_OFF).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Whatever breaks a connection off is the client's own affair.
async fn connection(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::select! {
        _ended = served.as_mut() => return,
        () = sleep(LIFETIME) => served.as_mut().graceful_shutdown(),
    }
    let _cut = timeout(GRACE, served).await;
}
