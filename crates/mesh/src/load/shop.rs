//! What customers do, as requests to the gateway.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE, SET_COOKIE},
};
use http_body_util::Full;
use mesh_load::{Answer, Client, Failure, Outcome, Plan, Target};
use serde::Deserialize;
use serde_json::json;

use crate::error::Error;

/// What can be asked for, in the order of [`Kind`].
pub(crate) const KINDS: [&str; 4] = ["place", "read", "list", "cart"];

/// The gateway works for 5 s at most: what is not here then never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Orders placed before, where orders are to be read.
const FIRST_ORDERS: usize = 10;

/// The newest orders are the ones that are read.
const ORDERS_KEPT: usize = 1_000;

/// Customers who fill a cart each.
const CARTS: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Place,
    Read,
    List,
    Cart,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Place, Self::Read, Self::List, Self::Cart];

    fn of_plan(plan: &Plan) -> Vec<Self> {
        let known = || KINDS.into_iter().zip(Self::ALL);
        let kind = |name: &String| known().find(|(known, _)| known == name);
        let kinds = plan.mix.kinds().iter().filter_map(kind);
        kinds.map(|(_, kind)| kind).collect()
    }
}

/// The gateway and what is known of the shop behind it.
#[derive(Debug)]
pub(crate) struct Shop {
    client: Client,
    base: String,
    /// In the order of the mix.
    kinds: Vec<Kind>,
    /// Those that are in stock.
    products: Vec<Product>,
    carts: Vec<HeaderValue>,
    orders: Mutex<VecDeque<String>>,
    /// No key of another load is like ours.
    key: String,
    turn: AtomicUsize,
}

#[derive(Debug, Deserialize)]
struct Catalogue {
    products: Vec<Product>,
}

#[derive(Debug, Deserialize)]
struct Product {
    sku: String,
    available: u64,
}

#[derive(Deserialize)]
struct Placed {
    id: String,
}

impl Shop {
    /// Looks at the catalogue, and places a few orders and fills carts where the plan needs them.
    pub(crate) async fn open(gateway: SocketAddr, plan: &Plan) -> Result<Self, Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut shop = Self {
            client: Client::new(ANSWER_LIMIT),
            base: format!("http://{gateway}"),
            kinds: Kind::of_plan(plan),
            products: Vec::new(),
            carts: Vec::new(),
            orders: Mutex::default(),
            key: format!(
                "load-{}-{}",
                std::process::id(),
                since.map_or(0, |since| since.as_nanos())
            ),
            turn: AtomicUsize::new(0),
        };
        let answer = shop.expect(&shop.list(), "catalogue").await?;
        let Catalogue { mut products } = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Refused(format!("cannot read the catalogue: {error}")))?;
        products.retain(|product| product.available > 0 && is_word(&product.sku));
        if products.is_empty() {
            return Err(Error::Refused(
                "every product is sold out: cargo mesh reset, then cargo mesh up --set MESH_SEED_STOCK=1000000"
                    .to_owned(),
            ));
        }
        shop.products = products;
        if shop.kinds.contains(&Kind::Read) {
            for _ in 0..FIRST_ORDERS {
                let answer = shop.expect(&shop.place(), "order").await?;
                shop.remember(&answer);
            }
        }
        if shop.kinds.contains(&Kind::Cart) {
            for _ in 0..CARTS {
                let answer = shop.expect(&shop.get("/v1/cart"), "cart").await?;
                shop.carts.push(session(&answer)?);
            }
        }
        Ok(shop)
    }

    /// What to know when more is going to be ordered than there is.
    pub(crate) fn short_stock(&self, plan: &Plan) -> Option<String> {
        let place = self.kinds.iter().position(|kind| *kind == Kind::Place)?;
        let orders = plan.mix.among(plan.requests(), place);
        let each = orders.div_ceil(self.products.len() as u64);
        let scarcest = self.products.iter().min_by_key(|p| p.available)?;
        (scarcest.available < each).then(|| {
            format!(
                "The stock will not last: {orders} orders of one piece each, in turn of {} products, and of {} there are {} \
                 pieces. What is sold out is answered with 409.",
                self.products.len(),
                scarcest.sku,
                scarcest.available
            )
        })
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn product(&self, turn: usize) -> &str {
        &self.products[turn % self.products.len()].sku
    }

    fn request(&self, kind: Kind) -> Request<Full<Bytes>> {
        match kind {
            Kind::Place => self.place(),
            Kind::Read => self.read(),
            Kind::List => self.list(),
            Kind::Cart => self.cart(),
        }
    }

    fn place(&self) -> Request<Full<Bytes>> {
        let turn = self.turn();
        let items = json!([{ "sku": self.product(turn), "quantity": 1 }]);
        let mut request = self.json(
            Method::POST,
            "/v1/orders",
            &json!({ "items": items, "payment_token": "tok_ok" }),
        );
        let key = HeaderValue::try_from(format!("{}-{turn}", self.key));
        request.headers_mut().insert(
            "idempotency-key",
            key.expect("digits and hyphens are visible ASCII"),
        );
        request
    }

    fn read(&self) -> Request<Full<Bytes>> {
        let path = {
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let place = self.turn() % orders.len().max(1);
            format!(
                "/v1/orders/{}",
                orders.get(place).map_or("", String::as_str)
            )
        };
        self.get(&path)
    }

    fn list(&self) -> Request<Full<Bytes>> {
        self.get("/v1/products?page_size=100")
    }

    fn cart(&self) -> Request<Full<Bytes>> {
        let turn = self.turn();
        let path = format!("/v1/cart/items/{}", self.product(turn / CARTS));
        let mut request = self.json(Method::PUT, &path, &json!({ "quantity": 1 }));
        let cookie = self.carts[turn % self.carts.len()].clone();
        request.headers_mut().insert(COOKIE, cookie);
        request
    }

    fn get(&self, path: &str) -> Request<Full<Bytes>> {
        let request = Request::get(format!("{}{path}", self.base)).body(Full::default());
        request.expect("skus and ids are words")
    }

    fn json(&self, method: Method, path: &str, body: &serde_json::Value) -> Request<Full<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()));
        request.expect("skus and ids are words")
    }

    /// What is needed before the load can begin.
    async fn expect(&self, request: &Request<Full<Bytes>>, what: &str) -> Result<Answer, Error> {
        let answer = self.client.ask(request.clone()).await;
        let outcome = Outcome::from(&answer);
        answer.ok().filter(|_| outcome.is_good()).ok_or_else(|| {
            Error::Refused(format!(
                "the load cannot begin, the gateway at {} gives no {what}: {outcome}",
                self.base
            ))
        })
    }

    /// The order that was placed, if one was.
    fn remember(&self, answer: &Answer) {
        let placed = [StatusCode::CREATED, StatusCode::ACCEPTED].contains(&answer.status);
        let Ok(Placed { id }) = serde_json::from_slice(&answer.body) else {
            return;
        };
        if !placed || !is_word(&id) {
            return;
        }
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() == ORDERS_KEPT {
            orders.pop_front();
        }
        orders.push_back(id);
    }
}

impl Target for Shop {
    async fn send(&self, kind: usize) -> Outcome {
        let kind = self.kinds[kind];
        let answer: Result<Answer, Failure> = self.client.ask(self.request(kind)).await;
        if let (Kind::Place, Ok(answer)) = (kind, &answer) {
            self.remember(answer);
        }
        Outcome::from(&answer)
    }
}

/// What can stand in a path as it is.
fn is_word(text: &str) -> bool {
    let stands = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.chars().all(stands)
}

/// The cookie of a new session, to be sent back.
fn session(answer: &Answer) -> Result<HeaderValue, Error> {
    let cookie = answer.headers.get(SET_COOKIE);
    let pair = cookie.and_then(|cookie| cookie.to_str().ok()?.split(';').next());
    pair.and_then(|pair| HeaderValue::from_str(pair).ok())
        .ok_or_else(|| Error::Refused("the gateway makes no session".to_owned()))
}
