//! Span export as the lifecycle sees it: started when there is a collector, flushed at the end.

use std::{sync::Arc, time::Duration};

use mesh_context::SpanSink;
use prometheus::IntCounter;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    BoxError,
    telemetry::{SpanQueue, TelemetryConfig, exporter},
};

#[derive(Debug)]
pub(super) struct Export(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Export {
    /// Where spans go, if they go anywhere, and what sends them on the current runtime.
    pub(super) fn start(
        config: &TelemetryConfig,
        dropped: IntCounter,
    ) -> Result<(Option<Arc<dyn SpanSink>>, Self), BoxError> {
        let Some(endpoint) = &config.endpoint else {
            return Ok((None, Self(None)));
        };
        let collector = exporter(endpoint, &config.resource.resource())?;
        let (queue, exporter) = SpanQueue::new(collector, dropped);
        let (stop, stopped) = oneshot::channel();
        let task = Handle::current().spawn(exporter.run(stopped));
        Ok((Some(queue), Self(Some((stop, task)))))
    }

    /// Sends what is left, in `limit` at most.
    pub(super) async fn flush(self, limit: Duration) {
        let Some((stop, task)) = self.0 else { return };
        let _ = stop.send(());
        if timeout(limit, task).await.is_err() {
            tracing::warn!("the last spans were not exported in time");
        }
    }
}
