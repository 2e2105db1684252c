//! A gRPC peer that keeps every call as it came over the wire, and answers as it was told.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, http::Request, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::Code;

/// A peer on a port of its own; dropping it closes it.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    state: Shared,
    _server: JoinSet<()>,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// OK and this message.
    Message(Bytes),
    /// A status other than OK, without a message.
    Status(Code, &'static str),
    /// Nothing, ever.
    Silence,
    /// The same a while later.
    After(Duration, Box<Reply>),
    /// The same once it is told to.
    Held(Arc<Notify>, Box<Reply>),
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// `/package.Service/Method`.
    pub rpc: String,
    /// All its headers.
    pub headers: HeaderMap,
    /// Its message.
    pub message: Bytes,
    /// When it came.
    pub at: Instant,
    /// The caller gave up before it was answered, at that time.
    pub abandoned: Option<Instant>,
}

#[derive(Debug, Default)]
struct Book {
    replies: BTreeMap<String, Reply>,
    received: Vec<Received>,
}

type Shared = Arc<Mutex<Book>>;

impl Recorder {
    /// Starts it; every call is answered with `UNIMPLEMENTED` until it is told better.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Shared::default();
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("it serves until it is dropped")
        });
        Self {
            address,
            state,
            _server: server,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers that RPC like this from now on.
    pub fn reply(&self, rpc: &str, reply: Reply) {
        lock(&self.state).replies.insert(rpc.to_owned(), reply);
    }

    /// Every call so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// Every call since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.state).received)
    }

    /// The one call since the last time.
    ///
    /// # Panics
    ///
    /// When there was none, or more than one.
    #[must_use]
    pub fn take_one(&self) -> Received {
        let mut calls = self.take();
        let call = calls.pop().expect("there was a call");
        assert!(calls.is_empty(), "there were more calls: {calls:?}");
        call
    }
}

impl Reply {
    /// OK and this message.
    #[must_use]
    pub fn message(message: &impl prost::Message) -> Self {
        Self::Message(message.encode_to_vec().into())
    }
}

impl Received {
    /// A header's values, joined; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let values = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(",")
    }

    /// What `grpc-timeout` says.
    ///
    /// # Panics
    ///
    /// When it is missing or malformed.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let value = self
            .headers
            .get("grpc-timeout")
            .expect("every call has a deadline");
        mesh_context::parse_grpc_timeout(value).expect("what we send is well formed")
    }

    /// The message, decoded.
    ///
    /// # Panics
    ///
    /// When it is another one.
    #[must_use]
    pub fn decode<M: prost::Message + Default>(&self) -> M {
        M::decode(self.message.clone()).expect("the message of that RPC")
    }
}

/// Notes that the caller gave up, unless the answer came first.
struct Abandoned(Option<(Shared, usize)>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some((state, index)) = self.0.take()
            && let Some(call) = lock(&state).received.get_mut(index)
        {
            call.abandoned = Some(Instant::now());
        }
    }
}

async fn receive(State(state): State<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let rpc = head.uri.path().to_owned();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let (reply, index) = {
        let mut book = lock(&state);
        let reply = book.replies.get(&rpc).cloned();
        book.received.push(Received {
            rpc,
            headers: head.headers,
            message: body
                .get(5..)
                .map(Bytes::copy_from_slice)
                .unwrap_or_default(),
            at: Instant::now(),
            abandoned: None,
        });
        (
            reply.unwrap_or(Reply::Status(
                Code::Unimplemented,
                "the recorder was not told",
            )),
            book.received.len() - 1,
        )
    };
    let mut abandoned = Abandoned(Some((state, index)));
    let answer = answer(reply).await;
    abandoned.0 = None;
    answer
}

async fn answer(mut reply: Reply) -> Response {
    loop {
        reply = match reply {
            Reply::After(delay, then) => {
                sleep(delay).await;
                *then
            }
            Reply::Held(told, then) => {
                told.notified().await;
                *then
            }
            now => break respond(now).await,
        }
    }
}

async fn respond(reply: Reply) -> Response {
    let mut response = match reply {
        Reply::Message(message) => {
            Response::new(Body::new(Full::new(frame(&message)).with_trailers(async {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from(0));
                Some(Ok(trailers))
            })))
        }
        Reply::Status(code, message) => {
            let mut response = Response::new(Body::empty());
            response
                .headers_mut()
                .insert("grpc-status", HeaderValue::from(code as i32));
            response
                .headers_mut()
                .insert("grpc-message", HeaderValue::from_static(message));
            response
        }
        Reply::Silence | Reply::After(..) | Reply::Held(..) => std::future::pending().await,
    };
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A message as gRPC sends it: not compressed, its length, itself.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a test's messages are small"));
    frame.put_slice(message);
    frame.freeze()
}

fn lock(state: &Shared) -> MutexGuard<'_, Book> {
    state.lock().expect("nobody panics with it")
}
