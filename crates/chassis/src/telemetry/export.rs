//! Finished spans on their way to the collector: a bounded queue and the task that sends them in batches.
//!
//! A request never waits for it. What finds no room in the queue, or is in a batch that the collector does not take, is
//! dropped and counted. A batch is tried once: spans are not worth the memory that waiting for a collector would take.

use std::{sync::Arc, time::Duration};

use mesh_context::{Span, SpanSink};
use opentelemetry_sdk::trace::SpanExporter;
use prometheus::IntCounter;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::otlp::span_data;

/// Spans that may wait.
const ROOM: usize = 2_048;
/// Spans in one batch.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others: a trace can be looked at within a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Where finished spans are put.
#[derive(Debug)]
pub(crate) struct SpanQueue {
    queue: mpsc::Sender<Span>,
    dropped: IntCounter,
}

/// Sends what is in the queue.
#[derive(Debug)]
pub(crate) struct Exporter<E> {
    queue: mpsc::Receiver<Span>,
    batch: Vec<Span>,
    collector: E,
    dropped: IntCounter,
    failing: bool,
}

impl SpanSink for SpanQueue {
    fn submit(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

impl SpanQueue {
    /// A queue, and the exporter that empties it into `collector` while it runs. `dropped` counts spans.
    pub(crate) fn new<E: SpanExporter>(
        collector: E,
        dropped: IntCounter,
    ) -> (Arc<Self>, Exporter<E>) {
        let (sender, queue) = mpsc::channel(ROOM);
        let exporter = Exporter {
            queue,
            batch: Vec::with_capacity(BATCH),
            collector,
            dropped: dropped.clone(),
            failing: false,
        };
        (
            Arc::new(Self {
                queue: sender,
                dropped,
            }),
            exporter,
        )
    }
}

impl<E: SpanExporter> Exporter<E> {
    /// Sends until `stop`, then what is left. Spans that come later are dropped.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                // First, so that a busy queue cannot keep the exporter from stopping.
                biased;
                _ = &mut stop => break,
                more = self.gather() => if !more { break },
            }
            self.send().await;
        }
        self.queue.close();
        loop {
            let room = BATCH - self.batch.len();
            self.queue.recv_many(&mut self.batch, room).await;
            if self.batch.is_empty() {
                break;
            }
            self.send().await;
        }
    }

    /// Waits for a span and then a moment for others. False when there will be none. Nothing is lost when dropped.
    async fn gather(&mut self) -> bool {
        if self.batch.is_empty() && self.queue.recv_many(&mut self.batch, BATCH).await == 0 {
            return false;
        }
        let full = async {
            while self.batch.len() < BATCH {
                let room = BATCH - self.batch.len();
                if self.queue.recv_many(&mut self.batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            () = full => {}
            () = sleep(PAUSE) => {}
        }
        true
    }

    /// One warning when the collector stops taking spans, one word when it takes them again.
    async fn send(&mut self) {
        let count = self.batch.len() as u64;
        let spans = self.batch.drain(..).map(span_data).collect();
        match self.collector.export(spans).await {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("spans are exported again");
            }
            Ok(()) => {}
            Err(error) => {
                self.dropped.inc_by(count);
                if !self.failing {
                    self.failing = true;
                    tracing::warn!(%error, "spans cannot be exported and are dropped until they can");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
