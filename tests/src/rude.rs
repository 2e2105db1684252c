//! A peer that behaves badly in one way, down to the frames of HTTP/2; it counts what it is asked.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::Code;

/// The beginning of every connection that speaks HTTP/2.
const HTTP2: &[u8; 3] = b"PRI";
/// More than the head of any request of a test.
const HEAD: usize = 8 * 1024;

/// What it does with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// An answer, OK.
    Answers,
    /// None, ever.
    Silent,
    /// A status and nothing else, in the headers, as our services fail. Over HTTP/1: 503.
    Fails(Code),
    /// A status after the headers, where no proxy takes notice of it.
    FailsLate(Code),
    /// The stream is reset, over HTTP/1 the connection closed, after the call has come in.
    Resets,
    /// The stream is reset in a way that says: nothing was done.
    Refuses,
}

/// A peer on a port of its own; dropping it closes it.
#[derive(Debug)]
pub struct Rude {
    address: SocketAddr,
    tries: Tries,
    _server: JoinSet<()>,
}

/// One try of a call, as it came.
#[derive(Debug, Clone)]
pub struct Try {
    /// `/package.Service/Method`.
    pub path: String,
    /// Its headers; none over HTTP/1.
    pub headers: HeaderMap,
}

type Tries = Arc<Mutex<Vec<Try>>>;

impl Rude {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let tries = Tries::default();
        let mut server = JoinSet::new();
        let shared = Arc::clone(&tries);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                connections.spawn(connection(stream, manner, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            tries,
            _server: server,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every try of a call to that path.
    #[must_use]
    pub fn tries(&self, path: &str) -> Vec<Try> {
        let tries = self.tries.lock().expect("nobody panics with it");
        tries
            .iter()
            .filter(|call| call.path == path)
            .cloned()
            .collect()
    }
}

/// Whoever goes away in the middle is a proxy that gave up: no failure of a test.
async fn connection(stream: TcpStream, manner: Manner, tries: Tries) {
    let mut start = [0; HTTP2.len()];
    let Ok(_) = stream.peek(&mut start).await else {
        return;
    };
    if &start == HTTP2 {
        let _gone = http2(stream, manner, tries).await;
    } else {
        let _gone = http1(stream, manner, tries).await;
    }
}

async fn http2(stream: TcpStream, manner: Manner, tries: Tries) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut calls = JoinSet::new();
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tries.lock().expect("nobody panics with it").push(Try {
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
        });
        calls.spawn(answer(request, respond, manner));
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    manner: Manner,
) -> Result<(), h2::Error> {
    if manner == Manner::Refuses {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Ok(());
    }
    let mut body = request.into_body();
    while let Some(chunk) = body.data().await {
        body.flow_control().release_capacity(chunk?.len())?;
    }
    let status = |code: Code| HeaderValue::from(code as i32);
    let mut head = Response::new(());
    head.headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Resets | Manner::Refuses => respond.send_reset(Reason::INTERNAL_ERROR),
        Manner::Fails(code) => {
            head.headers_mut().insert("grpc-status", status(code));
            let _stream = respond.send_response(head, true)?;
        }
        Manner::Answers | Manner::FailsLate(_) => {
            let code = match manner {
                Manner::FailsLate(code) => code,
                _ => Code::Ok,
            };
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status(code));
            let mut stream = respond.send_response(head, false)?;
            stream.send_trailers(trailers)?;
        }
    }
    Ok(())
}

async fn http1(mut stream: TcpStream, manner: Manner, tries: Tries) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        tries.lock().expect("nobody panics with it").push(Try {
            path: String::from_utf8_lossy(path).into_owned(),
            headers: HeaderMap::new(),
        });
        head.clear();
        let status = match manner {
            Manner::Silent => std::future::pending().await,
            Manner::Resets | Manner::Refuses => return Ok(()),
            Manner::Fails(_) | Manner::FailsLate(_) => "503 Service Unavailable",
            Manner::Answers => "200 OK",
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}
