//! A running gateway with its fakes, and the customer who asks it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mesh_chassis::{Process, testing::TestRuntime};
use mesh_context::Policy;
use mesh_gateway::{Config, Gateway};
use serde_json::Value;
use tokio::net::TcpStream;

use super::fakes::{self, Inventory, Orders};

/// A request's body.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// The gateway and the services behind it.
pub(crate) struct Shop {
    pub(crate) orders: Arc<Orders>,
    pub(crate) inventory: Arc<Inventory>,
    _runtime: TestRuntime,
    base: String,
    client: Client<HttpConnector, Body>,
    document: Value,
}

impl Shop {
    /// Everything works.
    pub(crate) async fn open() -> Self {
        Self::open_with(&[], Duration::from_secs(5)).await
    }

    /// With other settings than usual, or less time.
    pub(crate) async fn open_with(settings: &[(&str, &str)], limit: Duration) -> Self {
        let (orders, inventory) = (Arc::<Orders>::default(), Arc::<Inventory>::default());
        let url = fakes::serve(Arc::clone(&inventory), Arc::clone(&orders)).await;
        let mut source = BTreeMap::from([
            ("MESH_ORDERS_URL".to_owned(), url.clone()),
            ("MESH_INVENTORY_URL".to_owned(), url),
        ]);
        source.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let config = mesh_config::load::<Config>(&source).unwrap().config;
        let policy = Policy {
            trusted: false,
            ..Policy::inside(limit)
        };
        let runtime = TestRuntime::without_spans(policy);
        let inbound = Gateway::build(config, runtime.runtime()).unwrap();
        let address = runtime.serve(inbound).await.unwrap();
        let mut shop = Self {
            orders,
            inventory,
            _runtime: runtime,
            base: format!("http://{address}"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            document: Value::Null,
        };
        shop.document = shop.get("/openapi.json").await.json();
        shop
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// For those who write their requests themselves.
    pub(crate) async fn connect(&self) -> TcpStream {
        let address = self.base.trim_start_matches("http://");
        TcpStream::connect(address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Ask::new(Method::GET, path)).await
    }

    /// A new order, as JSON, with a key.
    pub(crate) async fn order(&self, key: &str, body: Value) -> Answer {
        self.send(Ask::new(Method::POST, "/v1/orders").key(key).json(&body))
            .await
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let Ask {
            method,
            path,
            headers,
            body,
        } = ask;
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base))
            .body(body)
            .unwrap();
        request.headers_mut().extend(headers);
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        self.check(&method, &path, &answer);
        answer
    }

    /// What must hold for every answer.
    fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let what = format!("{method} {path}: {}", answer.status);
        assert_eq!(
            answer.header("x-trace-id").map(str::len),
            Some(32),
            "{what}"
        );
        assert_eq!(
            answer.header("x-request-id").map(str::len),
            Some(36),
            "{what}"
        );
        let error = answer.status.is_client_error() || answer.status.is_server_error();
        if error && *method != Method::HEAD {
            answer.check_problem(&what);
        }
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            let retry_after = answer.header("retry-after").unwrap();
            assert!(retry_after.parse::<u32>().is_ok(), "{what}: {retry_after}");
        }
        if let Some(operation) = self.operation(method, path) {
            answer.check_documented(operation, &what);
        }
    }

    /// What the document says about a request, if it knows it.
    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let path = path.split('?').next()?;
        let fits = |pattern: &str| {
            pattern.split('/').count() == path.split('/').count()
                && pattern
                    .split('/')
                    .zip(path.split('/'))
                    .all(|(pattern, part)| pattern == part || pattern.starts_with('{'))
        };
        let (_, item) = self.document["paths"]
            .as_object()?
            .iter()
            .find(|(pattern, _)| fits(pattern))?;
        item.get(method.as_str().to_lowercase())
    }
}

/// A request in the making.
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: full(Bytes::new()),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .append(name, value.as_ref().try_into().unwrap());
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn cookie(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Bytes that are said to be JSON.
    pub(crate) fn said_json(self, bytes: impl Into<Bytes>) -> Self {
        self.header(header::CONTENT_TYPE.as_str(), "application/json")
            .body(full(bytes))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.said_json(body.to_string())
    }
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn check_problem(&self, what: &str) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{what}"
        );
        let problem = self.json();
        let names: Vec<_> = problem.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            [
                "detail",
                "request_id",
                "status",
                "title",
                "trace_id",
                "type"
            ],
            "{what}"
        );
        assert_eq!(problem["status"], self.status.as_u16(), "{what}");
        assert_eq!(
            problem["trace_id"],
            self.header("x-trace-id").unwrap(),
            "{what}"
        );
        assert_eq!(
            problem["request_id"],
            self.header("x-request-id").unwrap(),
            "{what}"
        );
    }

    /// The document has the status, the media type and the headers.
    fn check_documented(&self, operation: &Value, what: &str) {
        let response = &operation["responses"][self.status.as_str()];
        assert!(response.is_object(), "{what}: the document does not say so");
        let media = self.header("content-type").unwrap();
        assert!(response["content"][media].is_object(), "{what}: {media}");
        for name in [
            "retry-after",
            "location",
            "idempotent-replayed",
            "set-cookie",
        ] {
            let sent = self.headers.contains_key(name);
            let mut declared = response["headers"].as_object().unwrap().keys();
            assert!(
                !sent || declared.any(|known| known.eq_ignore_ascii_case(name)),
                "{what}: {name}"
            );
        }
    }

    /// The cookie that was set, ready to be sent back.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.header("set-cookie")?.split(';').next()
    }
}
