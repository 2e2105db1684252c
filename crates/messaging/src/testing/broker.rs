//! A RabbitMQ of one's own, to be stopped, killed and started.

use std::{
    net::Ipv4Addr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use mesh_backing::{Kind, Options, Server, rabbitmq};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// `guest:guest`, who may log in from this machine only.
const LOGIN: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";

/// A broker on free ports with its data in a temporary folder; both go with this value or with the process.
#[derive(Debug)]
pub struct RabbitMq {
    url: String,
    management: u16,
    virtual_hosts: AtomicU32,
    server: Mutex<Server>,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Panics
    /// RabbitMQ is not installed, or does not start.
    pub fn start() -> Self {
        let options = Options {
            management: Some(0),
            ..Options::default()
        };
        let server = Server::temporary(Kind::RabbitMq, options)
            .unwrap_or_else(|error| panic!("no RabbitMQ for this test: {error}"));
        Self {
            url: server.url(),
            management: server.management_port().expect("asked for above"),
            virtual_hosts: AtomicU32::new(0),
            server: Mutex::new(server),
        }
    }

    /// The URL of a new, empty virtual host.
    ///
    /// # Panics
    /// The broker does not run.
    pub async fn virtual_host(&self) -> String {
        let name = format!("test{}", self.virtual_hosts.fetch_add(1, Ordering::Relaxed));
        let (status, _) = self.manage("PUT", &format!("/api/vhosts/{name}"), "").await;
        assert_eq!(status, 201, "a virtual host of that name is new");
        format!("{}/{name}", self.url)
    }

    /// A request to its management API: the status and the body of the answer.
    ///
    /// # Panics
    /// The broker does not run.
    pub async fn manage(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{LOGIN}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let place = (Ipv4Addr::LOCALHOST, self.management);
        let mut stream = TcpStream::connect(place).await.expect("the broker runs");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the broker listens");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("the broker answers");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        (status.expect("an answer of HTTP"), body.unwrap_or_default())
    }

    /// `rabbitmqctl` with these words, such as `stop_app`.
    ///
    /// # Panics
    /// It does not obey.
    pub fn ctl(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        rabbitmq::ctl(&self.server(), &words).expect("the broker obeys");
    }

    /// As a power cut would.
    ///
    /// # Panics
    /// Never.
    pub fn kill(&self) {
        self.server().kill();
    }

    /// After a [`kill`](Self::kill): on the same ports, with the same data.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        self.server().start_again().expect("it starts as before");
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().expect("nobody panics while holding it")
    }
}
