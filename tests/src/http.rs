//! A small HTTP client: what is sent and what came back, nothing in between.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

/// Longer than an answer may take, if nothing else is said.
const LIMIT: Duration = Duration::from_secs(20);

/// A server and how to ask it.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Http {
    /// A client for the server at that address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client,
            base: format!("http://{address}"),
        }
    }

    /// A request to `GET` a path.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A request to `PUT` to a path.
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// A request to `POST` to a path.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// A request of any kind.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request {
            http: self.clone(),
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limit: LIMIT,
        }
    }
}

/// A request that is being put together.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    http: Http,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    limit: Duration,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        self.headers.append(name, value);
        self
    }

    /// Adds headers.
    pub fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        headers
            .into_iter()
            .fold(self, |request, (name, value)| request.header(name, value))
    }

    /// Sends the session's cookie, as an answer gave it.
    pub fn cookie(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    /// Sends JSON.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer may take so long.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends it.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}{}", self.method, self.http.base, self.path);
        match self.try_send().await {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error:#}"),
        }
    }

    /// Sends it to a server that may be away.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn try_send(self) -> anyhow::Result<Answer> {
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = format!("{}{}", self.http.base, self.path).parse()?;
        *request.headers_mut() = self.headers;
        timeout(self.limit, async {
            let (head, body) = self.http.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        })
        .await?
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    /// The session's cookie, to be sent back.
    #[must_use]
    pub fn cookie(&self) -> Option<String> {
        let (cookie, _attributes) = self.header("set-cookie").split_once(';')?;
        Some(cookie.to_owned())
    }

    /// The same answer, if its status is the one expected.
    ///
    /// # Panics
    ///
    /// With the whole answer, when it is not.
    #[track_caller]
    #[must_use]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }
}
