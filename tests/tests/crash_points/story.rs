//! What happens to an order at which a process dies, so that it comes by the crash point.

use std::{
    future::{Future, pending},
    time::Duration,
};

use http::Method;
use mesh_tests::{Answer, patiently};
use tokio::time::sleep;

use crate::{books::End, workers::World};

/// A dead holder of a key is taken over after 10 s, an order without outcome given up after more, and the machine may do
/// other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// Between two tries of a customer, and two looks of ours.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// What the customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    /// Buys, and asks again with the same key until the answer is final.
    Buys { token: &'static str },
    /// The same while payments is away; the process dies when the customer comes back.
    ComesBack,
    /// Goes away when payments has died over the order, at this point: it ends without the customer.
    LeavesIt { died: &'static str },
    /// Cancels, and asks again until that is done.
    Cancels,
    /// Cancels, and goes away when orders dies over it: done without the customer.
    CancelsAndLeaves,
}

/// Payments has taken the money, and told nobody.
const TAKEN: Story = Story::LeavesIt {
    died: "payments.take.after",
};
/// Payments has heard of the charge.
const STARTED: Story = Story::LeavesIt {
    died: "payments.take.before",
};
/// Payments knows nothing of the charge.
const UNHEARD: Story = Story::LeavesIt {
    died: "payments.start.before",
};

impl Story {
    /// The story that leads by a point.
    pub(crate) fn of(point: &str) -> Self {
        let (name, _) = point.rsplit_once('.').expect("before or after");
        match name {
            "orders.unknown" => Self::Buys {
                token: "tok_silent",
            },
            "orders.get_charge" => Self::ComesBack,
            "orders.fail" | "orders.release" | "inventory.release" => Self::Buys {
                token: "tok_declined",
            },
            "orders.cancel_wish" | "orders.cancel" | "orders.refund" | "payments.give_back"
            | "payments.refunded" => Self::Cancels,
            "orders.reconcile.get_charge" | "orders.reconcile.confirm" => TAKEN,
            "orders.reconcile.cancel" | "orders.reconcile.refund" => Self::CancelsAndLeaves,
            "payments.void" => UNHEARD,
            _ if name.starts_with("orders.reconcile.") => STARTED,
            _ => Self::Buys { token: "tok_ok" },
        }
    }

    /// How the order must end.
    pub(crate) fn end(self) -> End {
        match self {
            Self::Buys {
                token: "tok_declined",
            } => End::Failed,
            Self::LeavesIt { .. } if self != TAKEN => End::Failed,
            Self::Buys { .. } | Self::ComesBack | Self::LeavesIt { .. } => End::Fulfilled,
            Self::Cancels | Self::CancelsAndLeaves => End::Cancelled,
        }
    }

    /// Tells it, with the death of `process` at `point`, up to the final answer.
    pub(crate) async fn tell(
        self,
        world: &mut World,
        process: &'static str,
        point: &str,
        key: &str,
    ) {
        let token = match self {
            Self::Buys { token } => token,
            _ => "tok_ok",
        };
        let order = world.shop.order(key, &world.sku, 1, token);
        let buy = || order.clone().try_send();
        match self {
            Self::Buys { .. } => world.dies(process, point, &buy).await,
            Self::ComesBack => {
                world.processes.process("payments").stop().await;
                patiently(LIMIT, PAUSE, "nothing is charged", || async {
                    let books = world.books.step(key);
                    let (answer, step) = tokio::join!(buy(), books);
                    (answer.is_ok_and(|answer| answer.status == 503) && step == "charge")
                        .then_some(())
                        .ok_or(step)
                })
                .await;
                world.processes.start_again("payments").await;
                world.dies(process, point, &buy).await;
            }
            Self::LeavesIt { died } => {
                world.dies("payments", died, &buy).await;
                world.dies(process, point, &pending::<()>).await;
                world.books.settled(key).await;
            }
            Self::Cancels | Self::CancelsAndLeaves => {
                // So that nobody fulfils it meanwhile.
                world.processes.process("fulfillment").pause();
                let placed = finally(&buy).await.json();
                let path = format!(
                    "/v1/orders/{}/cancel",
                    placed["id"].as_str().expect("an id")
                );
                let shop = world.shop.clone();
                let cancel = || shop.request(Method::POST, &path).try_send();
                if self == Self::Cancels {
                    world.dies(process, point, &cancel).await;
                } else {
                    let wish = "orders.cancel_wish.after";
                    world.dies("orders", wish, &cancel).await;
                    world.dies(process, point, &pending::<()>).await;
                    world.books.settled(key).await;
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
    /// Arms a point; somebody asks again and again until the process has died there. Then it is started again.
    async fn dies<T, F: Future<Output = T>>(
        &mut self,
        process: &'static str,
        point: &str,
        ask: &impl Fn() -> F,
    ) {
        let path = format!("/debug/crash-points/{point}");
        let armed = self.processes.admin(process).put(&path).send().await;
        assert_eq!(armed.status, 204, "{point}: {}", armed.text());
        let asking = async {
            loop {
                ask().await;
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = self.processes.process(process).aborted(point, LIMIT) => {}
            () = asking => {}
        }
        self.processes.start_again(process).await;
    }
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
