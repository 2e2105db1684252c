//! Whatever process dies, and wherever: the order it was at is placed once, paid once and fulfilled once.
//!
//! Each named crash point is armed, an order makes its process die there, and the process is started again. Its customer
//! asks again with the same key, or goes away for good. At the end every book tells the same. Each crash is on another
//! order; `CRASHES` says how many there are at each point (`scripts/crash-points`).
#![cfg_attr(
    feature = "crash-points",
    expect(clippy::print_stdout, reason = "what was survived is shown")
)]

#[cfg(feature = "crash-points")]
#[path = "crash_points/books.rs"]
mod books;
#[cfg(feature = "crash-points")]
#[path = "crash_points/story.rs"]
mod story;
#[cfg(feature = "crash-points")]
#[path = "crash_points/workers.rs"]
mod workers;

#[cfg(feature = "crash-points")]
mod every_point_is_survived {
    use crate::workers::{Backend, survive};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_sqlite() {
        survive(Backend::Embedded, |_| true).await;
    }

    /// Those who use a queue and locks of rows.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_postgresql_and_rabbitmq() {
        survive(Backend::Real, |process| {
            ["orders", "fulfillment"].contains(&process)
        })
        .await;
    }
}

/// Without the points there is nothing to test, and whoever asked for the tests should know.
#[cfg(not(feature = "crash-points"))]
#[test]
fn crash_points_are_compiled_in() {
    panic!(
        "built without crash points: run scripts/test --test crash_points, or cargo test --features mesh-tests/crash-points"
    );
}
