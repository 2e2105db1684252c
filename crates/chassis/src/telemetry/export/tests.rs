//! Batches, drops and the end of the exporter, on a paused clock and with a collector of our own.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use mesh_context::{SpanId, SpanKind, TraceId};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::SpanData,
};
use tokio::{task::JoinHandle, time::timeout};

use super::*;

#[derive(Debug, Clone, Default)]
struct Collector(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    batches: Mutex<Vec<usize>>,
    away: AtomicBool,
    stuck: AtomicBool,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.0.stuck.load(Ordering::Relaxed) {
            std::future::pending().await
        }
        if self.0.away.load(Ordering::Relaxed) {
            return Err(OTelSdkError::InternalFailure(
                "connection refused".to_owned(),
            ));
        }
        self.0.batches.lock().unwrap().push(batch.len());
        Ok(())
    }
}

impl Collector {
    fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }
}

struct Running {
    collector: Collector,
    queue: Arc<SpanQueue>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "the test awaits it")]
fn run() -> Running {
    let collector = Collector::default();
    let (queue, exporter) = SpanQueue::new(
        collector.clone(),
        IntCounter::new("dropped", "spans").unwrap(),
    );
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(exporter.run(stopped));
    Running {
        collector,
        queue,
        stop,
        task,
    }
}

fn span() -> Span {
    Span {
        trace_id: TraceId::random(),
        span_id: SpanId::random(),
        parent: None,
        remote_parent: false,
        kind: SpanKind::Server,
        name: "GET /v1/products".into(),
        start: SystemTime::now(),
        end: SystemTime::now(),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        error: None,
    }
}

impl Running {
    fn submit(&self, spans: usize) {
        for _ in 0..spans {
            self.queue.submit(span());
        }
    }

    async fn stop(self) -> (Vec<usize>, u64) {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(60), self.task)
            .await
            .unwrap()
            .unwrap();
        (self.collector.batches(), self.queue.dropped.get())
    }
}

#[tokio::test(start_paused = true)]
async fn spans_go_in_batches_within_a_moment() {
    let running = run();
    running.submit(3);
    sleep(PAUSE / 2).await;
    running.submit(2);
    assert_eq!(running.collector.batches(), [0; 0]);
    sleep(PAUSE).await;
    assert_eq!(running.collector.batches(), [5]);
    running.submit(BATCH + 10);
    sleep(PAUSE / 4).await;
    assert_eq!(
        running.collector.batches(),
        [5, BATCH],
        "a full batch does not wait"
    );
    assert_eq!(running.stop().await, (vec![5, BATCH, 10], 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_everything_that_is_left() {
    let running = run();
    running.submit(BATCH * 2 + 1);
    assert_eq!(running.stop().await, (vec![BATCH, BATCH, 1], 0));
}

#[tokio::test(start_paused = true)]
async fn spans_after_the_stop_are_dropped_and_counted() {
    let running = run();
    let queue = Arc::clone(&running.queue);
    running.stop().await;
    queue.submit(span());
    assert_eq!(queue.dropped.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_costs_counted_spans_until_it_is_back() {
    let running = run();
    running.collector.0.away.store(true, Ordering::Relaxed);
    running.submit(7);
    sleep(PAUSE * 2).await;
    assert_eq!(running.queue.dropped.get(), 7);
    running.collector.0.away.store(false, Ordering::Relaxed);
    running.submit(2);
    assert_eq!(running.stop().await, (vec![2], 7));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_stuck_fills_the_queue_and_nothing_else() {
    let running = run();
    running.collector.0.stuck.store(true, Ordering::Relaxed);
    running.submit(1);
    sleep(PAUSE * 2).await;
    running.submit(ROOM + 5);
    assert_eq!(running.queue.dropped.get(), 5);
}
