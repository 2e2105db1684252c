//! The admin listener: probes, metrics, settings. On the control thread, so that it answers under any load.
//!
//! [`ROUTES`] is the routing table and the index at once. Connections are few, small and short-lived: HTTP/1, 16 KiB of
//! buffer, limits on slow clients. It is meant for the kubelet, the scraper and people, and is in no Service.

mod config_dump;
mod index;
mod live;
mod log_level;
mod metrics;
mod ready;
mod serve;
mod version;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use mesh_config::{Reader, Settings};
use prometheus::Registry;

use crate::{Readiness, heartbeat::Heartbeat, lifecycle::StartError, telemetry::LogLevel};

/// The only body that is read is a line of log directives.
const MAX_BODY: usize = 8 << 10;

/// One admin route.
#[derive(Debug)]
pub struct Route {
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// The path, without query.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    handle: Handle,
}

type Handle = fn(Arc<State>, Asked) -> BoxFuture<'static, Answer>;
type Answer = Response<Full<Bytes>>;

/// Every admin route; `GET /` shows them.
pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/",
        about: "this list",
        handle: index::handle,
    },
    Route {
        method: "GET",
        path: "/healthz",
        about: "200 while the main runtime turns",
        handle: live::handle,
    },
    Route {
        method: "GET",
        path: "/readyz",
        about: "200 when the process can serve, else 503 and what it waits for",
        handle: ready::handle,
    },
    Route {
        method: "GET",
        path: "/metrics",
        about: "metrics, as Prometheus text",
        handle: metrics::handle,
    },
    Route {
        method: "GET",
        path: "/config",
        about: "every setting; secrets are not shown",
        handle: config_dump::handle,
    },
    Route {
        method: "GET",
        path: "/version",
        about: "name, version and git revision",
        handle: version::handle,
    },
    Route {
        method: "GET",
        path: "/debug/pprof/",
        about: "the profiles there are",
        handle: index::profiles,
    },
    Route {
        method: "PUT",
        path: "/log-level",
        about: "new RUST_LOG directives as text; from loopback only",
        handle: log_level::handle,
    },
];

/// Where the admin listener is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminConfig {
    pub(crate) listen: SocketAddr,
}

impl AdminConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            listen: reader.addr("MESH_ADMIN_ADDR", SocketAddr::from(([0, 0, 0, 0], 9464))),
        }
    }
}

/// What the routes show and change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) log_level: LogLevel,
}

/// A listener that nothing answers on yet.
#[derive(Debug)]
pub(crate) struct Bound(TcpListener);

impl Bound {
    pub(crate) fn bind(config: &AdminConfig) -> Result<Self, StartError> {
        let listener = TcpListener::bind(config.listen).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Self(listener))
        });
        listener.map_err(|source| StartError::Listen {
            addr: config.listen,
            source,
        })
    }

    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until dropped.
    pub(crate) async fn serve(self, state: State) -> io::Result<()> {
        serve::serve(tokio::net::TcpListener::from_std(self.0)?, Arc::new(state)).await
    }
}

/// A request with its body.
struct Asked {
    peer: SocketAddr,
    body: Bytes,
}

/// Answers one request.
async fn answer<B>(state: Arc<State>, peer: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let route = match find(request.method(), request.uri().path()) {
        Ok(route) => route,
        Err(refusal) => return refusal,
    };
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => {
            (route.handle)(
                state,
                Asked {
                    peer,
                    body: body.to_bytes(),
                },
            )
            .await
        }
        Err(_) => text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or broke off\n",
        ),
    }
}

fn find(method: &Method, path: &str) -> Result<&'static Route, Answer> {
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let Some(here) = ROUTES.iter().find(|route| route.path == path) else {
        return Err(text(
            StatusCode::NOT_FOUND,
            "no such route; GET / lists them\n",
        ));
    };
    if here.method == method {
        return Ok(here);
    }
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "");
    refusal
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(here.method));
    Err(refusal)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    body_of(status, "text/plain; charset=utf-8", body)
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    body_of(status, "application/json", format!("{body}\n"))
}

fn body_of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests;
