//! An etcd of one's own, to be killed and started.

use mesh_backing::{Kind, Options, Server};

/// One member on free ports with its data in a temporary folder; both go with this value or with the process.
#[derive(Debug)]
pub struct Etcd(Server);

impl Etcd {
    /// Starts one.
    ///
    /// # Panics
    /// etcd is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::temporary(Kind::Etcd, Options::default());
        Self(server.unwrap_or_else(|error| panic!("no etcd for this test: {error}")))
    }

    /// For `MESH_LEASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// After a [`kill`](Self::kill): on the same port, with the same data.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        self.0.start_again().expect("it starts as before");
    }
}
