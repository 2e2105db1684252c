//! What a customer does: wants an order, and an answer.

use std::{sync::Arc, time::Duration};

use http::Method;
use mesh_tests::{Answer, Http, Request};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    facts::{Cancel, Lines, Outcome, Told},
    tally::Tally,
    workload::{Customer, Token},
};

/// The gateway works for 5 s at most: whoever has heard nothing by then asks again.
const ANSWER: Duration = Duration::from_secs(6);
/// A patient customer asks for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions: the first pause, doubled up to the last, and up to as much again. Whoever asks oftener keeps a shop
/// down that has just come back.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// Where the customers go.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) gateways: [Http; 2],
    /// The catalogue.
    pub(crate) skus: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
}

/// A customer in the shop.
#[derive(Debug, Clone)]
struct Visit {
    shop: Arc<Shop>,
    customer: Customer,
    until: Instant,
    cookie: Option<String>,
    /// Answers that no customer should get.
    odd: Vec<String>,
}

/// What an answer says.
enum Said<T> {
    Final(T),
    /// Nothing: ask again.
    Unclear,
}

impl Shop {
    /// Serves a customer whose order is due now, from first to last.
    pub(crate) async fn serve(self: Arc<Self>, customer: Customer) -> Told {
        let due = Instant::now();
        let mut visit = Visit {
            until: due + PATIENCE,
            shop: Arc::clone(&self),
            customer,
            cookie: None,
            odd: Vec::new(),
        };
        let (outcome, mut again) = visit.order().await;
        self.tally.answered(&outcome, due.elapsed());
        let mut cancel = None;
        if let Outcome::Ok(id) = &outcome
            && visit.customer.cancels
        {
            cancel = Some(visit.cancel(id).await);
        }
        if visit.customer.repeats && outcome != Outcome::NotSent {
            again.push(visit.place(1).await);
        }
        visit.told(outcome, cancel, again)
    }

    /// Asks once more, long after.
    pub(crate) async fn ask_again(
        self: Arc<Self>,
        customer: Customer,
        cookie: Option<String>,
    ) -> (Outcome, Vec<String>) {
        let mut visit = Visit {
            until: Instant::now() + ANSWER,
            shop: self,
            customer,
            cookie,
            odd: Vec::new(),
        };
        (visit.place(1).await, visit.odd)
    }
}

impl Visit {
    /// The answer, and a second one if the order was sent twice.
    async fn order(&mut self) -> (Outcome, Vec<Outcome>) {
        if self.customer.from_cart && !self.fill_cart().await {
            return (Outcome::NotSent, Vec::new());
        }
        if !self.customer.twice {
            return (self.place(0).await, Vec::new());
        }
        let mut other = self.clone();
        let (one, two) = tokio::join!(self.place(0), other.place(1));
        self.odd.append(&mut other.odd);
        if one == Outcome::Info {
            (two, vec![one])
        } else {
            (one, vec![two])
        }
    }

    /// Asks until there is an answer, at the two gateways in turn.
    async fn place(&mut self, first: usize) -> Outcome {
        let lines = self.customer.lines.iter();
        let items: Vec<Value> = lines
            .map(|(product, quantity)| json!({"sku": self.shop.skus[*product], "quantity": quantity}))
            .collect();
        let token = self.customer.token.name();
        let body = if self.customer.from_cart {
            json!({"payment_token": token})
        } else {
            json!({"items": items, "payment_token": token})
        };
        let key = self.customer.key(self.shop.seed);
        let ask = |request: Request| request.header("idempotency-key", &key).json(&body);
        let read = |answer: &Answer| match answer.status {
            201 => answer.json()["id"]
                .as_str()
                .map(|id| Outcome::Ok(id.to_owned())),
            402 | 422 => Some(Outcome::Fail(answer.status)),
            409 if answer.header("retry-after").is_empty() => Some(Outcome::Fail(409)),
            _ => None,
        };
        let said = self.ask(Method::POST, "/v1/orders", first, ask, read).await;
        match said {
            Said::Final(outcome) => outcome,
            Said::Unclear => Outcome::Info,
        }
    }

    async fn cancel(&mut self, id: &str) -> Cancel {
        let path = format!("/v1/orders/{id}/cancel");
        let read = |answer: &Answer| match answer.status {
            200 => Some(Cancel::Done),
            409 if answer.header("retry-after").is_empty() => Some(Cancel::TooLate),
            _ => None,
        };
        match self
            .ask(Method::POST, &path, 0, |request| request, read)
            .await
        {
            Said::Final(cancel) => cancel,
            Said::Unclear => Cancel::Unknown,
        }
    }

    async fn fill_cart(&mut self) -> bool {
        for (product, quantity) in self.customer.lines.clone() {
            let path = format!("/v1/cart/items/{}", self.shop.skus[product]);
            let ask = |request: Request| request.json(&json!({ "quantity": quantity }));
            let read = |answer: &Answer| (answer.status == 200).then_some(());
            let Said::Final(()) = self.ask(Method::PUT, &path, 0, ask, read).await else {
                return false;
            };
        }
        true
    }

    async fn ask<T>(
        &mut self,
        method: Method,
        path: &str,
        first: usize,
        ask: impl Fn(Request) -> Request,
        read: impl Fn(&Answer) -> Option<T>,
    ) -> Said<T> {
        let (mut pause, longest) = PAUSES;
        for turn in first.. {
            let gateway = &self.shop.gateways[(self.customer.gateway + turn) % 2];
            let request = ask(self.own(gateway.request(method.clone(), path)));
            if let Ok(Ok(answer)) = timeout(ANSWER, request.try_send()).await {
                if let Some(cookie) = answer.cookie() {
                    self.cookie = Some(cookie);
                }
                if let Some(said) = read(&answer) {
                    return Said::Final(said);
                }
                if ![202, 409, 503, 504].contains(&answer.status) {
                    let (status, text) = (answer.status, answer.text());
                    self.odd.push(format!("{method} {path}: {status} {text}"));
                }
            }
            self.shop.tally.unclear();
            if !self.customer.patient || Instant::now() > self.until {
                break;
            }
            sleep(pause + pause.mul_f64(rand::random())).await;
            pause = (pause * 2).min(longest);
        }
        Said::Unclear
    }

    /// With what makes it this customer's.
    fn own(&self, request: Request) -> Request {
        let trace = Customer::trace_id(self.customer.number);
        let request = request.header("traceparent", &format!("00-{trace}-00000000000000c4-00"));
        match &self.cookie {
            Some(cookie) => request.cookie(cookie),
            None => request,
        }
    }

    fn told(self, outcome: Outcome, cancel: Option<Cancel>, again: Vec<Outcome>) -> Told {
        let Self {
            shop,
            customer,
            cookie,
            odd,
            ..
        } = self;
        let mut refusals = vec![402];
        // Others never run out, and a cart may be lost with its store.
        refusals.extend(customer.wants_last_pieces().then_some(409));
        refusals.extend(customer.from_cart.then_some(422));
        let lines = customer.lines.iter();
        Told {
            number: customer.number,
            key: customer.key(shop.seed),
            lines: lines
                .map(|(product, quantity)| (shop.skus[*product].clone(), i64::from(*quantity)))
                .collect::<Lines>(),
            can_pay: customer.token != Token::Declined,
            refusals,
            outcome,
            cancel,
            again,
            odd,
            cookie,
        }
    }
}
