//! What happens to an order at which a process dies, so that it comes by the crash point.

use std::{future::Future, time::Duration};

use mesh_tests::{Answer, patiently};

use crate::{books::End, workers::World};

/// A dead holder of a key is taken over after 10 s, an order without outcome given up after more, and the machine may do
/// other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Between two tries of a customer, and two looks of ours.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// What the customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    /// Buys, and asks again with the same key until the answer is final.
    Buys,
    /// Pays with what is declined.
    Declined,
    /// Pays with what takes the money and never says so, and asks again.
    Silent,
    /// The same; the process dies when the customer asks again.
    AsksAgain,
    /// The same, and goes away: the order is settled without the customer.
    GoesAway,
    /// Goes away after payments died before it had taken the money, at this point.
    GivenUp(&'static str),
    /// Cancels, and asks again until that is done.
    Cancels,
    /// Cancels, and goes away when orders dies over it: done without the customer.
    CancelsAndGoesAway,
}

impl Story {
    /// The story that leads by a point.
    pub(crate) fn of(point: &str) -> Self {
        let (name, _) = point.rsplit_once('.').expect("before or after");
        match name {
            "orders.unknown" => Self::Silent,
            "orders.get_charge" => Self::AsksAgain,
            "orders.fail" | "orders.release" | "inventory.release" => Self::Declined,
            "orders.cancel_wish" | "orders.cancel" | "orders.refund" | "payments.give_back"
            | "payments.refunded" => Self::Cancels,
            "orders.reconcile.get_charge" | "orders.reconcile.confirm" => Self::GoesAway,
            "orders.reconcile.cancel" | "orders.reconcile.refund" => Self::CancelsAndGoesAway,
            "payments.void" => Self::GivenUp("payments.start.before"),
            _ if name.starts_with("orders.reconcile.") => Self::GivenUp("payments.take.before"),
            _ => Self::Buys,
        }
    }

    /// How the order must end.
    pub(crate) fn end(self) -> End {
        match self {
            Self::Buys | Self::Silent | Self::AsksAgain | Self::GoesAway => End::Fulfilled,
            Self::Declined | Self::GivenUp(_) => End::Failed,
            Self::Cancels | Self::CancelsAndGoesAway => End::Cancelled,
        }
    }

    fn token(self) -> &'static str {
        match self {
            Self::Buys | Self::GivenUp(_) | Self::Cancels | Self::CancelsAndGoesAway => "tok_ok",
            Self::Declined => "tok_declined",
            Self::Silent | Self::AsksAgain | Self::GoesAway => "tok_silent",
        }
    }

    /// Tells it, with the death of `process` at `point`.
    pub(crate) async fn tell(
        self,
        world: &mut World,
        process: &'static str,
        point: &str,
        key: &str,
    ) {
        let order = world.shop.order(key, &world.sku, 1, self.token());
        let buy = || order.clone().try_send();
        match self {
            Self::Buys | Self::Declined | Self::Silent => {
                let _lost = world.dies(process, point, buy()).await;
            }
            Self::AsksAgain => {
                assert_eq!(status(buy().await), Some(202));
                let _lost = world.dies(process, point, buy()).await;
            }
            Self::GoesAway => {
                let placed = world.dies(process, point, buy()).await;
                assert_eq!(status(placed), Some(202));
                world.books.becomes(key, &["confirmed", "fulfilled"]).await;
            }
            Self::GivenUp(before) => {
                let placed = world.dies("payments", before, buy()).await;
                assert_eq!(status(placed), Some(202));
                world.dies(process, point, async {}).await;
                world.books.becomes(key, &["failed"]).await;
            }
            Self::Cancels | Self::CancelsAndGoesAway => {
                // So that nobody fulfils it meanwhile.
                world.processes.process("fulfillment").pause();
                let placed = finally(&buy).await.json();
                let path = format!(
                    "/v1/orders/{}/cancel",
                    placed["id"].as_str().expect("an id")
                );
                let shop = world.shop.clone();
                let cancel = || shop.request(http::Method::POST, &path).try_send();
                if self == Self::Cancels {
                    let _lost = world.dies(process, point, cancel()).await;
                } else {
                    let wish = "orders.cancel_wish.after";
                    let _lost = world.dies("orders", wish, cancel()).await;
                    world.dies(process, point, async {}).await;
                    world.books.becomes(key, &["cancelled"]).await;
                }
                assert_eq!(finally(&cancel).await.status, 200);
                world.processes.process("fulfillment").resume();
            }
        }
        let expected = if self.end() == End::Failed { 402 } else { 201 };
        assert_eq!(finally(&buy).await.status, expected, "{key}");
    }
}

impl World {
    /// Arms a point and does what leads there; the process dies at it and is started again.
    async fn dies<T>(
        &mut self,
        process: &'static str,
        point: &str,
        doing: impl Future<Output = T>,
    ) -> T {
        let path = format!("/debug/crash-points/{point}");
        let armed = self.processes.admin(process).put(&path).send().await;
        assert_eq!(armed.status, 204, "{point}: {}", armed.text());
        let (done, ()) = tokio::join!(doing, self.processes.crashed(process, LIMIT));
        done
    }
}

fn status(answer: anyhow::Result<Answer>) -> Option<u16> {
    answer.ok().map(|answer| answer.status)
}

/// Asks until the answer is final, as customers are told to by no answer, 202, 409 in progress, 502, 503 and 504.
async fn finally<F: Future<Output = anyhow::Result<Answer>>>(ask: &impl Fn() -> F) -> Answer {
    patiently(LIMIT, PAUSE, "a final answer", || async {
        let answer = ask().await.map_err(|error| format!("{error:#}"))?;
        let is_final = match answer.status {
            202 | 502 | 503 | 504 => false,
            409 => answer.header("retry-after").is_empty(),
            _ => true,
        };
        if is_final {
            Ok(answer)
        } else {
            Err(answer.text())
        }
    })
    .await
}
