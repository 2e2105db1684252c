//! A customer: what people do at the gateway, in a word each.

use http::Method;
use serde_json::{Value, json};

use crate::{Answer, Http, Request};

/// A customer of the shop, with or without a session.
#[derive(Debug, Clone)]
pub struct Shop {
    http: Http,
    cookie: Option<String>,
}

impl Shop {
    /// A customer without a session.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http, cookie: None }
    }

    /// A customer with a session of its own.
    ///
    /// # Panics
    ///
    /// When the gateway makes none.
    pub async fn with_session(http: Http) -> Self {
        let answer = http.get("/v1/cart").send().await.expect_status(200);
        Self {
            http,
            cookie: Some(answer.cookie().expect("the first answer makes a session")),
        }
    }

    /// The same customer at another server.
    #[must_use]
    pub fn at(&self, http: Http) -> Self {
        Self {
            http,
            cookie: self.cookie.clone(),
        }
    }

    /// A request of this customer.
    pub fn request(&self, method: Method, path: &str) -> Request {
        let request = self.http.request(method, path);
        match &self.cookie {
            Some(cookie) => request.cookie(cookie),
            None => request,
        }
    }

    /// Looks something up.
    ///
    /// # Panics
    ///
    /// When it is not found.
    pub async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path)
            .send()
            .await
            .expect_status(200)
            .json()
    }

    /// Pieces of a product that can be ordered now.
    ///
    /// # Panics
    ///
    /// When there is no such product.
    pub async fn available(&self, sku: &str) -> i64 {
        self.get(&format!("/v1/products/{sku}")).await["available"]
            .as_i64()
            .expect("a number")
    }

    /// The sku of the catalogue's first product.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn first_sku(&self) -> String {
        self.get("/v1/products?page_size=1").await["products"][0]["sku"]
            .as_str()
            .expect("a product")
            .to_owned()
    }

    /// An order of one product.
    pub fn order(&self, key: &str, sku: &str, quantity: u32, token: &str) -> Request {
        self.order_of(
            key,
            &json!({ "items": [{ "sku": sku, "quantity": quantity }], "payment_token": token }),
        )
    }

    /// An order, as JSON.
    pub fn order_of(&self, key: &str, body: &Value) -> Request {
        self.request(Method::POST, "/v1/orders")
            .header("idempotency-key", key)
            .json(body)
    }

    /// Puts pieces of a product into the cart.
    pub async fn put(&self, sku: &str, quantity: u32) -> Answer {
        let path = format!("/v1/cart/items/{sku}");
        self.request(Method::PUT, &path)
            .json(&json!({ "quantity": quantity }))
            .send()
            .await
    }

    /// Cancels an order.
    pub async fn cancel(&self, id: &str) -> Answer {
        self.request(Method::POST, &format!("/v1/orders/{id}/cancel"))
            .send()
            .await
    }
}
