//! One connection, from its first byte to its end.
//!
//! ```text
//!  Opening ──first bytes──► Open ──closing, or idle 75 s──► Closing ──► Ended
//!     │ 5 s, or closing       │ headers 5 s, answer not       │ nothing in flight for 1 s,
//!     └──────────► Ended      └ taken, cut ──► Ended          └ or cut ──► Ended
//! ```
//!
//! hyper closes gracefully but waits without end for a side that never answers (hyper#4170); the limits here end that.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::Service;

use super::{
    activity::{Activity, Overdue, Watch},
    request::{Protocol, Stack},
    socket::{self, Http, Socket},
    unreadable::Reworded,
    upload::Upload,
};
use crate::{BoxError, shutdown::Shutdown};

/// From the connection to its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(5);
/// What a closing connection gets to hear of it: time for a request that crossed the news, and for the last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How often HTTP/2 asks whether the other side is there, and how long it waits for a sign.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(5);
/// Request line and headers, over HTTP/1 and HTTP/2.
const HEADER_LIST: u16 = 16 * 1024;
/// Requests at once on one connection. Between services one connection carries everything, and the process's own limit
/// must be reached before this one: HTTP/2 would queue without saying so.
const HTTP_STREAMS: u32 = 100;
const GRPC_STREAMS: u32 = 1024;
/// What may be on its way to us, on one stream and on all: Envoy's advice for an edge.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// hyper's buffers of one HTTP/1 connection.
const BUFFER: usize = 64 * 1024;

/// Inner services whose requests and answers hyper can carry; implemented by itself.
pub(super) trait Answering:
    Service<
        ::http::Request<Upload<Incoming>>,
        Response = ::http::Response<Self::Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// Of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, RB> Answering for S
where
    S: Service<
            ::http::Request<Upload<Incoming>>,
            Response = ::http::Response<RB>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = RB;
}

/// Serves one connection to its end. Returns the requests that were cut.
pub(super) async fn serve<T, S>(io: T, stack: Stack<S>, shutdown: Shutdown) -> Vec<String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answering,
{
    let opened = Instant::now();
    let activity = Activity::new();
    let first = socket::first_bytes(io, Arc::clone(&activity));
    let first = timeout(FIRST_BYTES, first);
    let (http, socket) = tokio::select! {
        first = first => match first {
            Ok(Ok(Some(first))) => first,
            // Silent, gone or broken before there was anything to serve.
            Ok(Ok(None) | Err(_)) | Err(_) => return Vec::new(),
        },
        () = closed_unopened(&shutdown, opened) => return Vec::new(),
    };
    let protocol = stack.protocol();
    let stack = stack.on(Arc::clone(&activity));
    match (http, protocol) {
        (Http::One, Protocol::Http) => {
            let io = TokioIo::new(Reworded::new(socket, stack.alone()));
            let connection = http1().serve_connection(io, stack);
            run(connection, &activity, &shutdown).await
        }
        (Http::Two, protocol) => {
            let io = TokioIo::new(socket);
            let connection = http2(protocol).serve_connection(io, stack);
            run(connection, &activity, &shutdown).await
        }
        // gRPC is HTTP/2.
        (Http::One, Protocol::Grpc) => Vec::new(),
    }
}

/// A connection that has said nothing is idle; one just made may be about to speak.
async fn closed_unopened(shutdown: &Shutdown, opened: Instant) {
    shutdown.closing().await;
    sleep_until(opened + LINGER).await;
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper's own limit would also end idle connections; ours begins with the first byte.
        .header_read_timeout(None)
        .max_header_size(usize::from(HEADER_LIST))
        .max_buf_size(BUFFER);
    builder
}

fn http2(protocol: Protocol) -> http2::Builder<TokioExecutor> {
    let streams = match protocol {
        Protocol::Http => HTTP_STREAMS,
        Protocol::Grpc => GRPC_STREAMS,
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    if protocol == Protocol::Grpc {
        // Calls that were given up while this process was paused come all at once: that is no attack.
        builder.max_pending_accept_reset_streams(usize::try_from(streams).ok());
    }
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .max_header_list_size(u32::from(HEADER_LIST))
        .max_concurrent_streams(streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// A hyper connection of either version.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Finish what is in flight, take nothing new, tell the other side.
    fn close(self: Pin<&mut Self>);
}

impl<T, S> Connection for http1::Connection<TokioIo<Reworded<Socket<T>>>, Stack<S>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answering,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<T, S> Connection for http2::Connection<TokioIo<Socket<T>>, Stack<S>, TokioExecutor>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answering,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Open, then Closing.
async fn run(
    connection: impl Connection,
    activity: &Arc<Activity>,
    shutdown: &Shutdown,
) -> Vec<String> {
    let mut connection = std::pin::pin!(connection);
    let mut watch = std::pin::pin!(Watch::new(Arc::clone(activity)));
    tokio::select! {
        biased;
        ended = &mut connection => return done(ended),
        overdue = &mut watch => {
            tracing::debug!(?overdue, "closing a connection");
            if overdue != Overdue::Idle {
                return Vec::new();
            }
        }
        () = shutdown.closing() => {}
    }
    connection.as_mut().close();
    tokio::select! {
        biased;
        ended = &mut connection => done(ended),
        () = settled(activity) => Vec::new(),
        () = shutdown.cut() => activity.in_flight(),
    }
}

/// Ends when there is nothing left to wait for.
async fn settled(activity: &Activity) {
    loop {
        sleep(LINGER).await;
        if activity.settled_for(LINGER) {
            return;
        }
    }
}

fn done(ended: hyper::Result<()>) -> Vec<String> {
    if let Err(error) = ended {
        // The other side's doing: broken off, or not HTTP.
        tracing::debug!(%error, "a connection ended");
    }
    Vec::new()
}

#[cfg(test)]
mod tests;
