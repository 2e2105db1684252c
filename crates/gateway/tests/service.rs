//! The gateway as a whole, behind the real server stack and over real sockets, with orders and inventory faked.
//!
//! Every answer that any of these tests gets is also checked against the OpenAPI document (see `service/shop.rs`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod service {
    mod cart;
    mod catalogue;
    mod docs;
    mod fakes;
    mod hostile;
    mod orders;
    mod peers;
    mod shop;
}
