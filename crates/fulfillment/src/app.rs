//! Wiring.

use mesh_chassis::{BoxError, Inbound, OnExit, Runtime};
use mesh_client::Downstream;
use mesh_messaging::{Queue, QueueConfig};

use crate::{
    config::Config,
    consumer::Worker,
    peers::{INVENTORY, ORDERS, Peers},
};

pub(crate) fn build(config: Config, runtime: &Runtime) -> Result<Inbound, BoxError> {
    let Config {
        queue,
        consumer,
        work_time,
        inventory,
        orders,
    } = config;
    let queue = connect(&queue, runtime)?;
    let inventory = Downstream::new(&INVENTORY, &inventory, runtime.metrics())?;
    let orders = Downstream::new(&ORDERS, &orders, runtime.metrics())?;
    let shutdown = runtime.shutdown();
    let worker = Worker {
        consumer: queue.consumer(consumer, shutdown.draining()),
        peers: Peers::new(inventory, orders),
        work_time,
        limit: runtime.request_timeout(),
        shutdown,
    };
    consume(worker, queue, runtime);
    Ok(Inbound::None)
}

fn connect(config: &QueueConfig, runtime: &Runtime) -> Result<Queue, BoxError> {
    let (queue, driver) = Queue::open(config, runtime.policy(), runtime.metrics())?;
    let tasks = runtime.tasks();
    tasks.spawn("queue", OnExit::ShutDown, driver.run());
    let (mut connected, blocker) = (queue.connected(), runtime.readiness().register("queue"));
    tasks.spawn("queue-connect", OnExit::Ignore, async move {
        if connected.wait_for(|connected| *connected).await.is_ok() {
            blocker.ready();
        }
    });
    Ok(queue)
}

/// A section, because what is in hand when the process stops must be finished; and a task, because the process is of no
/// use without it.
fn consume(worker: Worker, queue: Queue, runtime: &Runtime) {
    let tasks = runtime.tasks();
    let working = tasks.finish("consumer", async move {
        worker.run().await;
        queue.close().await;
    });
    tasks.spawn("consumer", OnExit::ShutDown, working);
}
