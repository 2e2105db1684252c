//! Puts the gateway together.

use std::{sync::Arc, time::Duration};

use mesh_chassis::{
    BoxError, Defaults, OnExit, Process, Runtime,
    server::{HttpInbound, Inbound},
};

use crate::{
    config::{Config, SessionStore},
    http::{self, App},
    peers::Peers,
    session::{Memory, Redis, Sessions},
};

/// The gateway, as a process.
#[derive(Debug)]
pub struct Gateway;

impl Process for Gateway {
    const NAME: &'static str = "gateway";
    const DEFAULTS: Defaults = Defaults {
        listen: Some("0.0.0.0:8080"),
        request_timeout: Duration::from_secs(5),
        edge: true,
    };
    const CRASH_POINTS: &'static [&'static str] = &["gateway.place.before", "gateway.place.after"];
    type Config = Config;

    fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
        let app = App {
            peers: Peers::new(&config, runtime.metrics())?,
            sessions: sessions(config.sessions, runtime),
        };
        let (router, routes) = http::router(app);
        Ok(Inbound::Http(HttpInbound::new(router, routes)))
    }
}

fn sessions(store: SessionStore, runtime: &Runtime) -> Arc<dyn Sessions> {
    match store {
        SessionStore::Memory => Arc::new(Memory::new()),
        SessionStore::Redis(server) => {
            let (redis, keep_up) = Redis::new(server, runtime.readiness().register("sessions"));
            let tasks = runtime.tasks();
            tasks.spawn("session-store", OnExit::ShutDown, keep_up);
            Arc::new(redis)
        }
    }
}
