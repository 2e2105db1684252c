//! One connection to the broker: how it is made, noticed to be lost, and closed.

use std::{future::Future, time::Duration};

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use lapin::{Connection, ConnectionProperties, Event, uri::AMQPUri};
use tokio::time::timeout;

use crate::Error;

/// A broker that has not let us in by then is away.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The broker answers everything else within milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Seconds; a broker that is silent for so long, though asked twice, is away. A paused one is not noticed otherwise.
const HEARTBEAT: u16 = 10;
/// Bytes; messages are small, and the client keeps 64 frames of room for each connection.
const FRAME_MAX: u32 = 16 * 1024;

/// What happens to a connection.
pub(super) type Events = BoxStream<'static, Event>;

pub(super) async fn connect(uri: &AMQPUri, purpose: &str) -> Result<(Connection, Events), String> {
    let mut uri = uri.clone();
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    let place = format!("{}:{}", uri.authority.host, uri.authority.port);
    let name = format!("mesh {purpose}");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = timeout(CONNECT_LIMIT, Connection::connect_uri(uri, properties))
        .await
        .map_err(|_| format!("{place}: no connection within {CONNECT_LIMIT:?}"))?
        .map_err(|error| format!("{place}: {error}"))?;
    let events = connection.events_listener().boxed();
    // What happened before we listened was not said to us.
    if connection.status().connected() {
        Ok((connection, events))
    } else {
        Err(format!("{place}: the connection was lost at once"))
    }
}

/// Ends when the connection is lost, with the reason.
pub(super) async fn lost(events: &mut (impl Stream<Item = Event> + Unpin)) -> String {
    while let Some(event) = events.next().await {
        match event {
            Event::Error(error) => return error.to_string(),
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(%reason, "the broker takes no messages for now");
            }
            Event::ConnectionUnblocked => tracing::info!("the broker takes messages again"),
            _ => {}
        }
    }
    "the connection ended".to_owned()
}

/// In order: the broker then knows every acknowledgement that was sent.
pub(super) async fn close(connection: &Connection) {
    match timeout(CLOSE_LIMIT, connection.close(200, "bye".into())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "closing a connection to the broker"),
        Err(_) => tracing::debug!(
            "the broker did not confirm within {CLOSE_LIMIT:?} that the connection is closed"
        ),
    }
}

/// What the broker answers.
pub(super) async fn answer<T>(asked: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::unavailable(error.to_string())),
        Err(_) => Err(Error::unavailable(format!(
            "no answer within {ANSWER_LIMIT:?}"
        ))),
    }
}
