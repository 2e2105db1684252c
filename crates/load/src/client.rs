//! HTTP over connections that are used again, with a limit on how long an answer may take.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::outcome::{Failure, Outcome};

/// More than this of one body is not read.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// A cheap handle; its clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    limit: Duration,
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// For answers that come within `limit`, connecting included.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { client, limit }
    }

    /// The answer to a request whose URI is absolute.
    ///
    /// # Errors
    ///
    /// When there is none, or none in time.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    Failure::Connect
                } else {
                    Failure::Broken
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_BODY).collect().await;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.map_err(|_| Failure::Broken)?.to_bytes(),
            })
        };
        timeout(self.limit, answer)
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }
}

impl From<&Result<Answer, Failure>> for Outcome {
    fn from(result: &Result<Answer, Failure>) -> Self {
        match result {
            Ok(answer) => Self::Status(answer.status.as_u16()),
            Err(failure) => Self::Failed(*failure),
        }
    }
}
