//! The smallest process that shows every part of a life: `tests/process` starts it as a real one.

use std::{path::PathBuf, process::ExitCode, sync::mpsc, time::Duration};

use axum::{Extension, Router, routing::get};
use http::Method;
use mesh_chassis::{
    Blocker, BoxError, Defaults, HttpInbound, Inbound, OnExit, Process, Route, Runtime,
};
use mesh_config::{Reader, Section};

struct Tiny;

/// `MESH_STORE_URL` is a file: the process is ready once it exists.
struct Config {
    store: PathBuf,
}

impl Section for Config {
    fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.secret_url("MESH_STORE_URL", "sqlite:///dev/null", &["sqlite"]);
        Self {
            store: url.expose().trim_start_matches("sqlite://").into(),
        }
    }
}

impl Process for Tiny {
    const NAME: &'static str = "tiny";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("127.0.0.1:0"),
        request_timeout: Duration::from_secs(5),
        edge: true,
    };
    type Config = Config;

    fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        let store = runtime.readiness().register("store");
        runtime.tasks().spawn(
            "store-connect",
            OnExit::Ignore,
            connect(config.store, store),
        );
        let router = Router::new()
            .route("/hello", get(async || "hello\n"))
            .route("/slow", get(slow))
            .route("/charge", get(charge))
            .route("/block", get(block))
            .route("/fail", get(fail))
            .layer(Extension(runtime.clone()));
        let routes = ["/hello", "/slow", "/charge", "/block", "/fail"]
            .map(|path| Route::new(Method::GET, path));
        Ok(Inbound::Http(HttpInbound::new(router, routes.to_vec())))
    }
}

async fn connect(store: PathBuf, blocker: Blocker) {
    while !tokio::fs::try_exists(&store).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    blocker.ready();
}

/// A second of waiting.
async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "slow\n"
}

/// A second of work that must not be left half done.
async fn charge(Extension(runtime): Extension<Runtime>) -> &'static str {
    let charge = runtime.tasks().finish("charge", async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tracing::info!("charged");
    });
    charge.await;
    "charged\n"
}

/// Takes every worker for two minutes.
async fn block(Extension(runtime): Extension<Runtime>) -> &'static str {
    for _ in 0..64 {
        runtime.tasks().spawn("block", OnExit::Ignore, async {
            let (_kept, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(Duration::from_secs(120));
        });
    }
    "blocked\n"
}

async fn fail(Extension(runtime): Extension<Runtime>) -> &'static str {
    runtime
        .tasks()
        .spawn("doomed", OnExit::ShutDown, async { panic!("as asked") });
    "failing\n"
}

fn main() -> ExitCode {
    mesh_chassis::main::<Tiny>(std::env::args().skip(1))
}
