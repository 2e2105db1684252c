//! Accepts connections until told to stop, and waits for those there are.

use std::{
    io,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    connection::{self, Answering},
    request::Stack,
};
use crate::shutdown::Shutdown;

/// Open at once; the next waits in the listener's backlog. Far more than sidecars and ingresses open, and a bound on what
/// silent ones can hold.
pub(super) const CONNECTIONS: usize = 4096;
/// After an error that is not the other side's (out of file descriptors): as long as it takes others to close.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves at most `limit` connections at once until the shutdown closes or cuts. Returns the requests that were cut.
pub(super) async fn run<S: Answering>(
    listener: TcpListener,
    stack: Stack<S>,
    shutdown: Shutdown,
    limit: usize,
) -> Vec<String> {
    // Owned and awaited here, so not among the process's named tasks.
    let mut connections = JoinSet::new();
    let mut closing = std::pin::pin!(shutdown.closing());
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            Some(_ended) = connections.join_next() => {}
            accepted = next(&listener), if connections.len() < limit => {
                connections.spawn(connection::serve(accepted, stack.clone(), shutdown.clone()));
            }
        }
    }
    while let Some(waiting) = already_there(&listener) {
        connections.spawn(connection::serve(waiting, stack.clone(), shutdown.clone()));
    }
    drop(listener);
    let mut cut = Vec::new();
    while let Some(ended) = connections.join_next().await {
        // A connection that panicked was hyper's fault and has nothing to say.
        cut.extend(ended.unwrap_or_default());
    }
    cut
}

/// The next connection, whatever goes wrong before it comes.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _from)) => return prompt(stream),
            Err(error) if is_the_callers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// A connection that was made before the listener closed: the other side thinks it is being served.
fn already_there(listener: &TcpListener) -> Option<TcpStream> {
    let mut cx = Context::from_waker(Waker::noop());
    match listener.poll_accept(&mut cx) {
        Poll::Ready(Ok((stream, _from))) => Some(prompt(stream)),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

/// Answers are written whole; waiting for more to send with them would only delay them.
fn prompt(stream: TcpStream) -> TcpStream {
    // Fails only on a connection that is gone already.
    let _ = stream.set_nodelay(true);
    stream
}

/// The connection was gone before it was accepted.
fn is_the_callers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;
    use crate::{
        server::{fixtures::Fixture, request::Protocol},
        shutdown::Trigger,
    };

    const REQUEST: &[u8] = b"GET /orders/7 HTTP/1.1\r\nHost: shop\r\n\r\n";

    #[tokio::test]
    async fn a_connection_too_many_waits_until_another_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/orders/{id}", get(async || "seven"));
        let stack = Fixture::new(Protocol::Http).stack(router);
        let trigger = Trigger::new();
        let mut server = JoinSet::new();
        server.spawn(run(listener, stack, trigger.shutdown(), 1));

        let mut first = TcpStream::connect(addr).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        assert_ne!(first.read(&mut [0; 1024]).await.unwrap(), 0);
        let mut second = TcpStream::connect(addr).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        let early = timeout(Duration::from_millis(100), second.read_u8()).await;
        assert!(early.is_err(), "served beyond the limit");
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'H');
    }
}
