//! The page from its listener to its last connection.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use mesh_traces::Store;
use tokio::net::TcpListener;

use crate::{app::App, events, mesh::Mesh, routes, server};

/// What the page is told of its surroundings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens: loopback only.
    pub address: SocketAddr,
    /// The address of a Jaeger that has the same traces, if there is one.
    pub jaeger_ui: Option<String>,
    /// Of what is shown.
    pub version: &'static str,
}

/// A page that listens and does not answer yet.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    options: Options,
}

impl Page {
    /// Binds the address. Must be called within a runtime.
    ///
    /// # Errors
    /// The address is taken or not loopback; the Jaeger is not one that a link can lead to.
    pub fn bind(options: Options) -> io::Result<Self> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let address = options.address;
        if !address.ip().is_loopback() {
            return Err(refused(format!(
                "the page listens on loopback only, not on {address}"
            )));
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if let Some(other) = options.jaeger_ui.as_ref().filter(|url| !is_url(url)) {
            return Err(refused(format!(
                "the Jaeger {other:?} is no http:// or https:// address"
            )));
        }
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, options })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped, and all its connections with it.
    pub async fn serve(self, mesh: impl Mesh, store: Store) -> Infallible {
        let Self { listener, options } = self;
        // The address as it was asked for may have no port yet.
        let address = listener.local_addr().unwrap_or(options.address);
        let app = Arc::new(App::new(mesh, store, options, address.port()));
        let router = routes::router(Arc::clone(&app));
        tokio::select! {
            never = server::serve(listener, router) => never,
            never = events::publish(&app) => never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: &str, jaeger_ui: Option<&str>) -> io::Result<Page> {
        Page::bind(Options {
            address: address.parse().unwrap(),
            jaeger_ui: jaeger_ui.map(str::to_owned),
            version: "1",
        })
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let error = bind(open, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{open}");
        }
        let page = bind("127.0.0.1:0", Some("https://jaeger.example/ui")).unwrap();
        let taken = bind(&page.address().unwrap().to_string(), None);
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_link_never_leads_to_a_script() {
        let error = bind("127.0.0.1:0", Some("javascript:alert(1)")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
