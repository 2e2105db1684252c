//! A made-up mesh, a store filled by hand, and a browser that follows forms and links.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use mesh_figures::{Call, Figures};
use mesh_traces::{Store, TraceId};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use tower::ServiceExt;

use crate::{
    app::App,
    mesh::{LogLine, Mesh, Placed, Queue, Replica, State},
    page::Options,
    routes,
};

pub(crate) const PORT: u16 = 9460;
pub(crate) const HOST: &str = "127.0.0.1:9460";
pub(crate) const ORIGIN: &str = "http://127.0.0.1:9460";
pub(crate) const TRACE: TraceId = TraceId([0x4b; 16]);

/// What it is told, it shows; what is done to it, it notes.
#[derive(Clone, Default)]
pub(crate) struct FakeMesh(Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) replicas: Mutex<Vec<Replica>>,
    pub(crate) queue: Mutex<Option<Queue>>,
    pub(crate) figures: Mutex<HashMap<String, Figures>>,
    pub(crate) logs: Mutex<Vec<LogLine>>,
    pub(crate) done: Mutex<Vec<String>>,
    pub(crate) placed: Mutex<Option<Placed>>,
    /// How often somebody asked.
    pub(crate) looked: AtomicUsize,
}

impl std::ops::Deref for FakeMesh {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl FakeMesh {
    fn note(&self, deed: &str) -> Result<String, String> {
        self.done.lock().unwrap().push(deed.to_owned());
        if deed.contains("payments") {
            return Err(format!("cannot {deed}"));
        }
        Ok(format!("did {deed}"))
    }

    pub(crate) fn set(&self, name: &str, state: State) {
        let mut replicas = self.replicas.lock().unwrap();
        let replica = replicas.iter_mut().find(|replica| replica.name == name);
        replica.unwrap().state = state;
    }
}

impl Mesh for FakeMesh {
    fn replicas(&self) -> Vec<Replica> {
        self.replicas.lock().unwrap().clone()
    }

    fn queue(&self) -> Option<Queue> {
        *self.queue.lock().unwrap()
    }

    fn figures(&self) -> HashMap<String, Figures> {
        self.looked.fetch_add(1, Ordering::SeqCst);
        self.figures.lock().unwrap().clone()
    }

    fn logs(&self, _trace: TraceId) -> Vec<LogLine> {
        self.logs.lock().unwrap().clone()
    }

    async fn kill(&self, replica: &str) -> Result<String, String> {
        self.note(&format!("kill {replica}"))
    }

    async fn pause(&self, replica: &str) -> Result<String, String> {
        self.note(&format!("pause {replica}"))
    }

    async fn restart(&self, replica: &str) -> Result<String, String> {
        self.note(&format!("restart {replica}"))
    }

    async fn scale(&self, process: &str, replicas: u32) -> Result<String, String> {
        self.note(&format!("scale {process} {replicas}"))
    }

    async fn place(&self, token: &str) -> Result<Placed, String> {
        self.done.lock().unwrap().push(format!("place {token}"));
        let placed = self.placed.lock().unwrap().clone();
        placed.ok_or_else(|| "nobody listens".to_owned())
    }

    fn gateway(&self) -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, 8080).into())
    }
}

pub(crate) fn replica(process: &str, number: usize, state: State) -> Replica {
    let port = |base: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, (base + number) as u16));
    let name = if number == 1 {
        process.to_owned()
    } else {
        format!("{process}-{number}")
    };
    Replica {
        name,
        process: process.to_owned(),
        pid: Some(4000 + number as u32),
        state,
        address: (process != "fulfillment").then(|| port(50050)),
        admin: Some(port(9460)),
    }
}

/// Five processes that are ready and at work.
pub(crate) fn mesh() -> FakeMesh {
    let mesh = FakeMesh::default();
    for (process, peers) in [
        ("gateway", &["orders", "inventory"][..]),
        ("orders", &["inventory", "payments"]),
        ("inventory", &[]),
        ("payments", &[]),
        ("fulfillment", &["inventory", "orders"]),
    ] {
        let call = |(index, peer): (usize, &&str)| Call {
            peer: (*peer).to_owned(),
            rate: 12.25 + index as f64,
            errors: 0.0,
            p95: Some(Duration::from_micros(4210)),
        };
        let figures = Figures {
            rate: if process == "fulfillment" { 0.0 } else { 24.5 },
            errors: 0.0,
            p95: Some(Duration::from_micros(18_400)),
            in_flight: 3,
            rss: 11 << 20,
            calls: peers.iter().enumerate().map(call).collect(),
            published: if process == "orders" { 7.5 } else { 0.0 },
            consumed: if process == "fulfillment" { 7.25 } else { 0.0 },
        };
        let replica = replica(process, 1, State::Ready);
        let mut all = mesh.figures.lock().unwrap();
        all.insert(replica.name.clone(), figures);
        mesh.replicas.lock().unwrap().push(replica);
    }
    *mesh.queue.lock().unwrap() = Some(Queue { ready: 5, dead: 0 });
    *mesh.placed.lock().unwrap() = Some(Placed {
        status: 201,
        body: r#"{"id":"7d1c","status":"confirmed"}"#.to_owned(),
        trace: Some(TRACE),
        took: Duration::from_millis(42),
    });
    mesh
}

/// A span to be received.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) trace: TraceId,
    pub(crate) process: String,
    pub(crate) id: u64,
    /// 0 for a root.
    pub(crate) parent: u64,
    pub(crate) name: String,
    pub(crate) kind: span::SpanKind,
    /// In milliseconds: start, from an hour of today, and duration.
    pub(crate) time: (u64, u64),
    pub(crate) attributes: Vec<(String, Value)>,
    pub(crate) events: Vec<String>,
    pub(crate) failed: bool,
}

impl Made {
    pub(crate) fn new(process: &str, id: u64, parent: u64, name: &str, time: (u64, u64)) -> Self {
        Self {
            trace: TRACE,
            process: process.to_owned(),
            id,
            parent,
            name: name.to_owned(),
            kind: span::SpanKind::Server,
            time,
            attributes: Vec::new(),
            events: Vec::new(),
            failed: false,
        }
    }

    pub(crate) fn client(mut self) -> Self {
        self.kind = span::SpanKind::Client;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let value = Value::StringValue(value.to_owned());
        self.attributes.push((name.to_owned(), value));
        self
    }

    pub(crate) fn left(mut self, millis: i64) -> Self {
        let name = "mesh.deadline.remaining_ms".to_owned();
        self.attributes.push((name, Value::IntValue(millis)));
        self
    }

    fn span(&self, now: u64) -> Span {
        let start = now + self.time.0 * 1_000_000;
        let pair = |(key, value): (String, Value)| KeyValue {
            key,
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        };
        let id = |id: u64| {
            if id == 0 {
                Vec::new()
            } else {
                id.to_be_bytes().to_vec()
            }
        };
        let event = |name: &String| span::Event {
            time_unix_nano: start + 1_000_000,
            name: name.clone(),
            attributes: vec![pair((name.clone(), Value::StringValue(name.clone())))],
            ..span::Event::default()
        };
        Span {
            trace_id: self.trace.0.to_vec(),
            span_id: id(self.id),
            parent_span_id: id(self.parent),
            name: self.name.clone(),
            kind: self.kind.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + self.time.1 * 1_000_000,
            attributes: self.attributes.iter().cloned().map(pair).collect(),
            events: self.events.iter().map(event).collect(),
            status: self.failed.then(|| Status {
                message: self.name.clone(),
                code: 2,
            }),
            ..Span::default()
        }
    }
}

/// Puts the spans in, `age` old.
pub(crate) fn receive(store: &Store, age: Duration, spans: &[Made]) {
    let start = SystemTime::now() - age;
    let now = start.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = now.as_nanos() as u64;
    let resource = |made: &Made| {
        let name = Value::StringValue(made.process.clone());
        let pair = |key: &str| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(name.clone()),
            }),
            ..KeyValue::default()
        };
        ResourceSpans {
            resource: Some(Resource {
                attributes: vec![pair("service.name"), pair("service.instance.id")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![made.span(now)],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    };
    store.add(spans.iter().map(resource).collect());
}

/// An order, as it crosses the processes.
pub(crate) fn order() -> Vec<Made> {
    let rpc = |service: &str, method: &str| format!("/shop.{service}.v1.{service}/{method}");
    let place = rpc("orders", "PlaceOrder");
    let charge = rpc("payments", "Charge");
    let reserve = rpc("inventory", "Reserve");
    vec![
        Made::new("gateway", 1, 0, "POST /v1/orders", (0, 44))
            .left(5000)
            .with("http.response.status_code", "201"),
        Made::new("gateway", 2, 1, &place, (2, 40))
            .client()
            .left(4750),
        Made::new("orders", 3, 2, &place, (3, 38)).left(4600),
        Made::new("orders", 4, 3, &reserve, (5, 9))
            .client()
            .left(4590),
        Made::new("inventory", 5, 4, &reserve, (6, 7)).left(650),
        Made::new("orders", 6, 3, &charge, (16, 21))
            .client()
            .left(4570),
        Made::new("payments", 7, 6, &charge, (17, 19)).left(3400),
    ]
}

/// The page without a socket, and someone in front of it.
pub(crate) struct Browser {
    pub(crate) mesh: FakeMesh,
    pub(crate) store: Store,
    pub(crate) app: Arc<App<FakeMesh>>,
    router: Router,
}

/// What was answered.
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::of(mesh())
    }

    pub(crate) fn of(mesh: FakeMesh) -> Self {
        let store = Store::new(64 << 20);
        let options = Options {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            jaeger_ui: Some("http://127.0.0.1:16686/".to_owned()),
            version: "1.2.3",
        };
        let app = Arc::new(App::new(mesh.clone(), store.clone(), options, PORT));
        Self {
            mesh,
            store,
            router: routes::router(Arc::clone(&app)),
            app,
        }
    }

    /// An order that was just placed is there.
    pub(crate) fn with_order() -> Self {
        let this = Self::new();
        receive(&this.store, Duration::from_secs(1), &order());
        this
    }

    /// The answer as it comes.
    pub(crate) async fn ask(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Seen {
        let (parts, body) = self.ask(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Seen {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.send(request(Method::GET, path, &[("host", HOST)], ""))
            .await
    }

    /// As our own form does.
    pub(crate) async fn post(&self, path: &str, fields: &str) -> Seen {
        let token = self.app.guard.token.expose();
        let body = format!("token={token}&{fields}");
        let headers = [("host", HOST), ("origin", ORIGIN)];
        self.send(request(Method::POST, path, &headers, &body))
            .await
    }
}

impl Seen {
    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// Every text between two others.
    pub(crate) fn between(&self, before: &str, after: &str) -> Vec<&str> {
        let parts = self.text.split(before).skip(1);
        parts
            .map(|part| part.split(after).next().unwrap())
            .collect()
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Request<Body> {
    let mut request = Request::new(Body::from(body.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    request
}
