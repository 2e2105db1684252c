//! The admin listener: probes, metrics, settings. On the control thread, so that it answers under any load.
//!
//! [`ROUTES`] is the routing table and the index at once. Connections are few, small and short-lived: HTTP/1, 16 KiB of
//! buffer, limits on slow clients. It is meant for the kubelet, the scraper and people, and is in no Service.

mod config_dump;
#[cfg(feature = "crash-points")]
mod crash_points;
mod index;
mod live;
mod log_level;
mod metrics;
mod profile;
mod ready;
mod serve;
mod version;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use mesh_config::{Reader, Settings};
use prometheus::Registry;
use tokio::time::timeout;

pub(crate) use self::profile::Profiling;
use crate::{Readiness, heartbeat::Heartbeat, lifecycle::StartError, telemetry::LogLevel};

/// The only body that is read is a line of log directives.
const MAX_BODY: usize = 8 << 10;
/// The longest an answer waits for the process to be built.
const BUILD: Duration = Duration::from_secs(1);

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

#[derive(Debug)]
enum Handle {
    Now(fn(&State, &Asked) -> Answer),
    Later(fn(Arc<State>, Asked) -> BoxFuture<'static, Answer>),
}

type Answer = Response<Full<Bytes>>;

/// Every admin route; `GET /` shows them.
pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/",
        about: "this list",
        handle: Handle::Now(index::handle),
    },
    Route {
        method: "GET",
        path: "/healthz",
        about: "200 while the main runtime turns",
        handle: Handle::Now(live::handle),
    },
    Route {
        method: "GET",
        path: "/readyz",
        about: "200 when the process can serve, else 503 and what it waits for",
        handle: Handle::Later(ready::handle),
    },
    Route {
        method: "GET",
        path: "/metrics",
        about: "metrics, as Prometheus text",
        handle: Handle::Later(metrics::handle),
    },
    Route {
        method: "GET",
        path: "/config",
        about: "every setting; secrets are not shown",
        handle: Handle::Now(config_dump::handle),
    },
    Route {
        method: "GET",
        path: "/version",
        about: "name, version and git revision",
        handle: Handle::Now(version::handle),
    },
    Route {
        method: "GET",
        path: "/debug/pprof/",
        about: "the profiles there are",
        handle: Handle::Now(index::profiles),
    },
    Route {
        method: "GET",
        path: "/debug/pprof/profile",
        about: "CPU profile; ?seconds=1 to 60 &frequency=1 to 1000",
        handle: Handle::Later(profile::cpu),
    },
    Route {
        method: "GET",
        path: "/debug/pprof/heap",
        about: "what is allocated now, by where",
        handle: Handle::Later(profile::heap),
    },
    Route {
        method: "PUT",
        path: "/log-level",
        about: "new RUST_LOG directives as text; from loopback only",
        handle: Handle::Now(log_level::handle),
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
    pub(crate) profiling: Profiling,
}

impl State {
    /// What a process waits for and what it counts is known once it is built, moments after this listener answers; who asks
    /// before is told then.
    async fn built(&self) {
        let _ = timeout(BUILD, self.readiness.built()).await;
    }
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
    query: String,
    body: Bytes,
}

/// Answers one request.
async fn answer<B>(state: Arc<State>, peer: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let method = match *request.method() {
        // What hyper sends of the answer is its head.
        Method::HEAD => "GET",
        ref method => method.as_str(),
    };
    let path = request.uri().path();
    #[cfg(feature = "crash-points")]
    if path.starts_with(crash_points::PATH) {
        return crash_points::answer(peer, request).await;
    }
    let Some(route) = ROUTES.iter().find(|route| route.path == path) else {
        return text(StatusCode::NOT_FOUND, "no such route; GET / lists them\n");
    };
    if route.method != method {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "");
        let allowed = HeaderValue::from_static(route.method);
        refusal.headers_mut().insert(header::ALLOW, allowed);
        return refusal;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large or broke off\n",
            );
        }
    };
    let asked = Asked { peer, query, body };
    match route.handle {
        Handle::Now(handle) => handle(&state, &asked),
        Handle::Later(handle) => handle(state, asked).await,
    }
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
