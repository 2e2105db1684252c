//! What the page for people asks of the mesh, and does to it.

use std::{
    collections::HashMap,
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mesh_figures::Figures;
use mesh_inventory::EXAMPLE_SKU;
use mesh_page::{LogLine, Options, Page, Placed, Queue, Replica, State};
use mesh_traces::TraceId;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{
    announce,
    cli::ReplicaCount,
    error::Error,
    logbook::Logbook,
    ports,
    process::{Process, ReplicaId},
    replica::Act,
    supervisor::Handle,
    view::{Phase, Status},
    watcher::Watcher,
};

/// The gateway answers within 5 s, or not at all.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The gateway's answers are far smaller.
const LARGEST_ANSWER: usize = 1 << 20;

/// Takes the page's port.
pub(crate) fn bind(port_offset: u16, jaeger_ui: Option<String>) -> Result<Page, Error> {
    let options = Options {
        address: ports::page(port_offset),
        jaeger_ui,
        version: env!("CARGO_PKG_VERSION"),
    };
    let action = format!("listen on {} for the page", options.address);
    Page::bind(options).map_err(|source| Error::io(action, source))
}

/// The running mesh, as the page has it. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    handle: Handle,
    logbook: Logbook,
    watcher: Watcher,
    customer: Client<HttpConnector, Full<Bytes>>,
    orders: Arc<AtomicU64>,
}

impl Face {
    pub(crate) fn new(handle: Handle, logbook: Logbook, watcher: Watcher) -> Self {
        Self {
            handle,
            logbook,
            watcher,
            customer: Client::builder(TokioExecutor::new()).build_http(),
            orders: Arc::default(),
        }
    }

    async fn act(&self, name: &str, act: Act) -> Result<String, String> {
        let id = {
            let view = self.handle.view();
            let ids = view.borrow();
            ids.keys().copied().find(|id| id.to_string() == name)
        };
        let id = id.ok_or_else(|| format!("there is no {name:?}"))?;
        self.handle.act(id, act).await
    }

    /// One piece of the product that every hint names, under a key that was never used.
    fn order(&self, gateway: SocketAddr, token: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let key = format!("page-{}-{number}", announce::unused_key());
        let items = json!([{"sku": EXAMPLE_SKU, "quantity": 1}]);
        let body = json!({"items": items, "payment_token": token}).to_string();
        Request::post(format!("http://{gateway}/v1/orders"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(body.into())
    }
}

impl mesh_page::Mesh for Face {
    fn replicas(&self) -> Vec<Replica> {
        let view = self.handle.view();
        let replicas = view.borrow();
        let replicas = replicas.iter().map(|(id, status)| replica(*id, status));
        replicas.collect()
    }

    fn queue(&self) -> Option<Queue> {
        let depth = self.watcher.depth()?;
        Some(Queue {
            ready: depth.ready,
            dead: depth.dead,
        })
    }

    fn figures(&self) -> HashMap<String, Figures> {
        self.watcher.figures()
    }

    fn logs(&self, trace: TraceId) -> Vec<LogLine> {
        self.logbook.of(trace)
    }

    async fn kill(&self, replica: &str) -> Result<String, String> {
        self.act(replica, Act::Kill).await
    }

    async fn pause(&self, replica: &str) -> Result<String, String> {
        self.act(replica, Act::Pause).await
    }

    async fn restart(&self, replica: &str) -> Result<String, String> {
        self.act(replica, Act::Restart).await
    }

    async fn scale(&self, process: &str, replicas: u32) -> Result<String, String> {
        let wanted: ReplicaCount = format!("{process}={replicas}").parse()?;
        self.handle.scale(wanted.process, wanted.count).await;
        Ok(format!("{process}: {replicas} wanted from now on"))
    }

    async fn place(&self, token: &str) -> Result<Placed, String> {
        let gateway = mesh_page::Mesh::gateway(self).ok_or("no gateway is running")?;
        let failed = |why: &dyn Display| format!("the gateway at {gateway} did not answer: {why}");
        let request = self.order(gateway, token).map_err(|error| failed(&error))?;
        let begun = Instant::now();
        let answer = async {
            let answer = self.customer.request(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((head, body.to_bytes()))
        };
        let answer = timeout(ANSWER_LIMIT, answer).await;
        let (head, body) = answer
            .map_err(|_| failed(&format!("not within {} s", ANSWER_LIMIT.as_secs())))?
            .map_err(|error| failed(&error))?;
        let trace = head.headers.get("x-trace-id");
        Ok(Placed {
            status: head.status.as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
            trace: trace.and_then(|id| id.to_str().ok()?.parse().ok()),
            took: begun.elapsed(),
        })
    }

    fn gateway(&self) -> Option<SocketAddr> {
        let view = self.handle.view();
        let gateways = view.borrow();
        let mut gateways = gateways
            .iter()
            .filter(|(id, _)| id.process == Process::Gateway);
        gateways.find_map(|(_, status)| status.process?.1.listen)
    }
}

fn replica(id: ReplicaId, status: &Status) -> Replica {
    // A dead one's number and addresses are nobody's.
    let process = status.process.filter(|_| status.phase != Phase::Down);
    Replica {
        name: id.to_string(),
        process: id.process.name().to_owned(),
        pid: process.map(|(pid, _)| pid),
        state: state(&status.phase),
        address: process.and_then(|(_, addresses)| addresses.listen),
        admin: process.map(|(_, addresses)| addresses.admin),
    }
}

fn state(phase: &Phase) -> State {
    match phase {
        Phase::Starting => State::Starting,
        Phase::Waiting(reasons) => State::Waiting(reasons.clone()),
        Phase::Ready => State::Ready,
        Phase::Paused => State::Paused,
        Phase::Down => State::Down,
        Phase::Restarting | Phase::Stopping => State::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use mesh_page::Mesh as _;

    use super::*;
    use crate::{
        logbook,
        supervisor::tests::{Fixture, OBEDIENT},
        view::are_ready,
    };

    fn face(mesh: &Fixture) -> Face {
        let logbook = Logbook::new(logbook::LIMIT);
        Face::new(mesh.handle.clone(), logbook, Watcher::new())
    }

    #[tokio::test]
    async fn replicas_are_shown_as_they_are_and_known_by_their_names() {
        let mesh = Fixture::new(OBEDIENT, &[Process::Orders]);
        let face = face(&mesh);
        assert_eq!(
            face.scale("orders", 1).await.unwrap(),
            "orders: 1 wanted from now on"
        );
        mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
        let [orders] = &face.replicas()[..] else {
            panic!("{:?}", face.replicas());
        };
        assert_eq!(
            (orders.name.as_str(), orders.process.as_str()),
            ("orders", "orders")
        );
        assert_eq!(orders.state, State::Ready);
        let before = orders.pid.unwrap();
        assert!(orders.address.is_some() && orders.admin.is_some());

        let done = face.kill("orders").await.unwrap();
        assert_eq!(done, format!("orders (process {before}) was killed"));
        mesh.until(|view| !are_ready(view, Process::Orders, 1))
            .await;
        let [down] = &face.replicas()[..] else {
            panic!("{:?}", face.replicas());
        };
        assert_eq!(
            (&down.state, down.pid, down.admin),
            (&State::Down, None, None)
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_touched() {
        let mesh = Fixture::new(OBEDIENT, &[]);
        let face = face(&mesh);
        assert_eq!(
            face.kill("orders").await.unwrap_err(),
            "there is no \"orders\""
        );
        assert!(face.pause("").await.is_err() && face.restart("orders-2").await.is_err());
        let unknown = face.scale("cook", 2).await.unwrap_err();
        assert!(unknown.contains("gateway, orders, inventory"), "{unknown}");
        assert!(face.scale("orders", 51).await.is_err());
        assert_eq!(
            face.place("tok_ok").await.unwrap_err(),
            "no gateway is running"
        );
        assert!(face.replicas().is_empty() && face.gateway().is_none());
    }

    #[tokio::test]
    async fn no_two_orders_have_the_same_key() {
        let mesh = Fixture::new(OBEDIENT, &[]);
        let face = face(&mesh);
        let gateway = SocketAddr::from(([127, 0, 0, 1], 8080));
        let keys = [(); 2].map(|()| {
            let order = face.order(gateway, "tok\"_ok").unwrap();
            order.headers()["idempotency-key"].clone()
        });
        assert_ne!(keys[0], keys[1]);
    }
}
