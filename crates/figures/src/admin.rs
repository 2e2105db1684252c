//! Asks admin listeners: how is it, and what has it counted?

use std::{error::Error as StdError, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{Metrics, ParseError};

/// Admin listeners answer within milliseconds under any load; a process that needs longer is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Many times what the processes have to say.
const LARGEST_BODY: usize = 4 << 20;

/// A cheap handle.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing that could be understood, or nothing in time.
    Silent,
    /// Not ready: on what it waits.
    Waiting(Vec<String>),
    /// It serves.
    Ready,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may be paused, or drown.
    #[error("{0}: no answer within {limit} s", limit = ANSWER_LIMIT.as_secs())]
    Late(SocketAddr),
    /// Nobody listens there, or whoever does broke off.
    #[error("{admin}: no answer")]
    Away {
        /// Who was asked.
        admin: SocketAddr,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It is no process of the mesh.
    #[error("{admin}: answered {status}, not with metrics")]
    Status {
        /// Who was asked.
        admin: SocketAddr,
        /// What it said.
        status: StatusCode,
    },
    /// It is no process of the mesh, or a newer one.
    #[error("{admin}: its metrics cannot be read: {source}")]
    Unreadable {
        /// Who was asked.
        admin: SocketAddr,
        /// Where.
        source: ParseError,
    },
}

#[derive(Deserialize)]
struct NotReady {
    waiting_for: Vec<String>,
}

impl Admin {
    /// Without any connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// What it has counted up to now.
    ///
    /// # Errors
    ///
    /// When it does not say so within a second.
    pub async fn metrics(&self, admin: SocketAddr) -> Result<Metrics, Error> {
        let (status, body) = self.get(admin, "/metrics").await?;
        if status != StatusCode::OK {
            return Err(Error::Status { admin, status });
        }
        Metrics::parse(&String::from_utf8_lossy(&body))
            .map_err(|source| Error::Unreadable { admin, source })
    }

    /// Whether it is ready.
    pub async fn readiness(&self, admin: SocketAddr) -> Readiness {
        match self.get(admin, "/readyz").await {
            Ok((StatusCode::OK, _)) => Readiness::Ready,
            Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => serde_json::from_slice(&body)
                .map_or(Readiness::Silent, |NotReady { waiting_for }| {
                    Readiness::Waiting(waiting_for)
                }),
            _ => Readiness::Silent,
        }
    }

    /// Status and body.
    async fn get(&self, admin: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Error> {
        let away = |source| Error::Away { admin, source };
        let uri: Uri = format!("http://{admin}{path}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| away(error.into()))?;
        let answer = async {
            let response = self.client.get(uri).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_BODY);
            Ok((status, body.collect().await?.to_bytes()))
        };
        match timeout(ANSWER_LIMIT, answer).await {
            Ok(answer) => answer.map_err(away),
            Err(_) => Err(Error::Late(admin)),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use super::*;

    /// Answers each request so, as long as the test's process lives; less than `length` is an answer cut off.
    fn server(status: &'static str, body: &'static str, length: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _gone = stream.write_all((head + body).as_bytes());
            }
        });
        address
    }

    fn answering(status: &'static str, body: &'static str) -> SocketAddr {
        server(status, body, body.len())
    }

    #[tokio::test]
    async fn metrics_are_read_and_what_is_none_says_why() {
        let admin = Admin::new();
        let metrics = admin.metrics(answering("200 OK", "a 7\n")).await.unwrap();
        assert!((metrics.sum("a", &[]) - 7.0).abs() < f64::EPSILON);
        let told = async |address| admin.metrics(address).await.unwrap_err().to_string();
        for (address, expected) in [
            (
                answering("200 OK", "<html>"),
                "its metrics cannot be read: line 1",
            ),
            (answering("404 Not Found", ""), "answered 404 Not Found"),
            (server("200 OK", "a 7\n", 9), "no answer"),
        ] {
            let told = told(address).await;
            assert!(
                told.starts_with(&address.to_string()) && told.contains(expected),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn who_is_not_there_and_who_does_not_answer_are_told_apart() {
        let admin = Admin::new();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = silent.local_addr().unwrap();
        let error = admin.metrics(address).await.unwrap_err();
        assert!(
            matches!(error, Error::Late(late) if late == address),
            "{error}"
        );
        drop(silent);
        let error = admin.metrics(address).await.unwrap_err();
        assert!(matches!(error, Error::Away { .. }), "{error}");
    }

    #[tokio::test]
    async fn readiness_is_what_readyz_says() {
        let waiting = r#"{"status":"not ready","waiting_for":["queue","store"]}"#;
        let reasons = vec!["queue".to_owned(), "store".to_owned()];
        for (address, expected) in [
            (answering("200 OK", ""), Readiness::Ready),
            (
                answering("503 Service Unavailable", waiting),
                Readiness::Waiting(reasons),
            ),
            (
                answering("503 Service Unavailable", "busy"),
                Readiness::Silent,
            ),
            (answering("404 Not Found", ""), Readiness::Silent),
        ] {
            assert_eq!(Admin::new().readiness(address).await, expected);
        }
    }
}
