//! The one connection to Redis, which all requests share, kept up for ever.
//!
//! ```text
//!  Away ──connected, and it answers──► Here     asked again every second, used or not
//!  Here ──lost, or silent────────────► Away     whoever waits for an answer is told at once
//!  Away ──failed─────────────────────► Away     after a pause, twice as long each time, up to 1 s
//! ```
//!
//! Our own, because what the Redis client brings sends a request to a server that is away and lets it wait there. A
//! server that hangs is found out by the question, not by what customers wait for, so little can pile up on its way to it.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_chassis::Blocker;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Error, LONGEST};
use crate::config::RedisServer;

/// Between two questions whether it still answers.
const BEAT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Mutex<State>>);

/// The connection, or why there is none.
type State = Result<MultiplexedConnection, String>;

impl Default for Link {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Err("not connected yet".to_owned()))))
    }
}

impl Link {
    pub(super) fn connection(&self) -> Result<MultiplexedConnection, Error> {
        self.state().clone().map_err(Error::Away)
    }

    pub(super) async fn keep_up(self, server: RedisServer, blocker: Blocker) {
        let (mut pause, mut blocker) = (FIRST_PAUSE, Some(blocker));
        let mut said = String::new();
        loop {
            let here = |connection: &MultiplexedConnection| {
                *self.state() = Ok(connection.clone());
                tracing::info!(%server, "the session store is here");
                if let Some(blocker) = blocker.take() {
                    blocker.ready();
                }
                (pause, said) = (FIRST_PAUSE, String::new());
            };
            let reason = serve(&server, here).await;
            // Drops the connection: nobody waits any more for an answer on it.
            *self.state() = Err(reason.clone());
            if reason != said {
                tracing::warn!(%server, %reason, "the session store is away, trying until it is back");
                said = reason;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, calls `here` at the first answer, and ends when there is none any more, with the reason.
async fn serve(server: &RedisServer, here: impl FnOnce(&MultiplexedConnection)) -> String {
    let connected = match timeout(LONGEST, connect(server)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return format!("no connection within {LONGEST:?}"),
    };
    let (connection, driver) = connected;
    tokio::select! {
        // First, so that an answer that has come counts before the time for it is over.
        biased;
        () = driver => "it closed the connection".to_owned(),
        reason = listen(connection, here) => reason,
    }
}

/// The connection, and what must run for anything to go over it.
async fn connect(
    server: &RedisServer,
) -> redis::RedisResult<(MultiplexedConnection, impl Future<Output = ()>)> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    stream.set_nodelay(true)?;
    // Each request has its own time.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    MultiplexedConnection::new_with_config(&server.login, stream, config).await
}

/// Asks again and again, until there is no good answer.
async fn listen(
    mut connection: MultiplexedConnection,
    here: impl FnOnce(&MultiplexedConnection),
) -> String {
    let mut here = Some(here);
    loop {
        let ping = redis::cmd("PING");
        match timeout(LONGEST, ping.query_async::<()>(&mut connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no answer within {LONGEST:?}"),
        }
        if let Some(here) = here.take() {
            here(&connection);
        }
        sleep(BEAT).await;
    }
}
