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

/// After an error that is not the other side's (out of file descriptors): as long as it takes others to close.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves until the shutdown closes or cuts. Returns the requests that were cut.
pub(super) async fn run<S: Answering>(
    listener: TcpListener,
    stack: Stack<S>,
    shutdown: Shutdown,
) -> Vec<String> {
    // Owned and awaited here, so not among the process's named tasks.
    let mut connections = JoinSet::new();
    let mut closing = std::pin::pin!(shutdown.closing());
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            Some(_ended) = connections.join_next() => {}
            accepted = next(&listener) => {
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
