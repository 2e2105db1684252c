//! One unary call with exactly the headers a test wants.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tonic::Code;

use crate::recorder::frame;

/// Longer than any answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone)]
pub struct Called {
    /// The gRPC status.
    pub code: Code,
    /// Its message.
    pub message: String,
    /// Headers and trailers.
    pub headers: HeaderMap,
    /// The answer's message.
    pub body: Bytes,
}

impl Called {
    /// The answer's message, decoded.
    ///
    /// # Panics
    ///
    /// When the call failed or the message is another one.
    #[must_use]
    pub fn decode<M: prost::Message + Default>(&self) -> M {
        assert_eq!(self.code, Code::Ok, "{}", self.message);
        M::decode(self.body.clone()).expect("the message of that RPC")
    }
}

/// Calls an RPC (`/package.Service/Method`).
///
/// # Panics
///
/// When there is no answer.
pub async fn call(
    address: SocketAddr,
    rpc: &str,
    headers: &[(&str, &str)],
    message: &impl prost::Message,
) -> Called {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut request = Request::post(format!("http://{address}{rpc}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(&message.encode_to_vec())))
        .expect("a request");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header's name");
        request.headers_mut().append(
            name,
            HeaderValue::from_str(value).expect("a header's value"),
        );
    }
    let answer = timeout(LIMIT, async {
        let (head, body) = client.request(request).await?.into_parts();
        anyhow::Ok((head, body.collect().await?))
    });
    let (head, body) = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("{rpc} at {address}: {error:#}"),
        Err(_) => panic!("{rpc} at {address}: no answer within {LIMIT:?}"),
    };
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Called {
        code: Code::from_bytes(text("grpc-status").expect("a gRPC status").as_bytes()),
        message: text("grpc-message").unwrap_or_default(),
        body: body
            .to_bytes()
            .get(5..)
            .map(Bytes::copy_from_slice)
            .unwrap_or_default(),
        headers,
    }
}
