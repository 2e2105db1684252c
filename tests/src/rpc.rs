//! The paths of the RPCs, and answers that a recorder gives in a peer's place.

use bytes::Bytes;
use mesh_proto::{
    inventory::v1::{
        GetProductsResponse, ListProductsResponse, Product, ReleaseResponse, ReserveResponse,
        Reserved, ReservedLine, release_response, reserve_response,
    },
    money::v1::Money,
    orders::v1::{
        GetOrderResponse, Line, Order, OrderItem, OrderStatus, PlaceOrderRequest,
        PlaceOrderResponse, place_order_response,
    },
    payments::v1::{ChargeRequest, ChargeResponse, ChargeState},
};

use crate::Reply;

/// One page of the catalogue.
pub const LIST_PRODUCTS: &str = "/shop.inventory.v1.InventoryService/ListProducts";
/// Some products.
pub const GET_PRODUCTS: &str = "/shop.inventory.v1.InventoryService/GetProducts";
/// Sets pieces aside.
pub const RESERVE: &str = "/shop.inventory.v1.InventoryService/Reserve";
/// Gives them back.
pub const RELEASE: &str = "/shop.inventory.v1.InventoryService/Release";
/// Sells them.
pub const COMMIT: &str = "/shop.inventory.v1.InventoryService/Commit";
/// Takes money.
pub const CHARGE: &str = "/shop.payments.v1.PaymentsService/Charge";
/// Gives it back.
pub const REFUND: &str = "/shop.payments.v1.PaymentsService/Refund";
/// What became of a charge.
pub const GET_CHARGE: &str = "/shop.payments.v1.PaymentsService/GetCharge";
/// Reserves, charges, confirms.
pub const PLACE_ORDER: &str = "/shop.orders.v1.OrdersService/PlaceOrder";
/// One order.
pub const GET_ORDER: &str = "/shop.orders.v1.OrdersService/GetOrder";
/// A session's orders.
pub const LIST_ORDERS: &str = "/shop.orders.v1.OrdersService/ListOrders";
/// Undoes an order.
pub const CANCEL_ORDER: &str = "/shop.orders.v1.OrdersService/CancelOrder";

/// Its pieces are sold.
pub const MARK_FULFILLED: &str = "/shop.orders.v1.OrdersService/MarkFulfilled";

/// The product that recorders sell.
pub const SKU: &str = "any";

fn price() -> Option<Money> {
    Some(Money {
        currency: "EUR".to_owned(),
        amount_minor: 100,
    })
}

/// A catalogue of one product.
#[must_use]
pub fn products() -> Reply {
    Reply::message(&ListProductsResponse {
        products: vec![product()],
        next_page_token: String::new(),
    })
}

/// That product, asked for by its sku.
#[must_use]
pub fn found_products() -> Reply {
    Reply::message(&GetProductsResponse {
        products: vec![product()],
    })
}

fn product() -> Product {
    let [sku, name, description] = [SKU, "Any", "Anything."].map(str::to_owned);
    Product {
        sku,
        name,
        description,
        price: price(),
        available: 10,
    }
}

/// One piece of it is reserved.
#[must_use]
pub fn reserved() -> Reply {
    let line = ReservedLine {
        sku: SKU.to_owned(),
        quantity: 1,
        unit_price: price(),
    };
    let outcome = reserve_response::Outcome::Reserved(Reserved { lines: vec![line] });
    Reply::message(&ReserveResponse {
        outcome: Some(outcome),
    })
}

/// It is free again.
#[must_use]
pub fn released() -> Reply {
    Reply::message(&ReleaseResponse {
        outcome: release_response::Outcome::Released.into(),
    })
}

/// What became of a charge.
#[must_use]
pub fn charge(state: ChargeState) -> Reply {
    Reply::message(&ChargeResponse {
        state: state.into(),
    })
}

/// A confirmed order of one piece.
#[must_use]
pub fn placed() -> Reply {
    let outcome = place_order_response::Outcome::Confirmed.into();
    Reply::message(&PlaceOrderResponse {
        outcome,
        order: Some(confirmed()),
        ..PlaceOrderResponse::default()
    })
}

/// That order, asked for by its id.
#[must_use]
pub fn found_order() -> Reply {
    Reply::message(&GetOrderResponse {
        order: Some(confirmed()),
    })
}

fn confirmed() -> Order {
    let item = OrderItem {
        sku: SKU.to_owned(),
        quantity: 1,
        unit_price: price(),
        total: price(),
    };
    Order {
        id: "0b0f2f1e-5a0f-4d0c-8a55-4a6fbbf4f9a1".to_owned(),
        status: OrderStatus::Confirmed.into(),
        items: vec![item],
        total: price(),
        created_at_us: 1,
        updated_at_us: 1,
    }
}

/// An order of one piece, as the gateway asks for it.
#[must_use]
pub fn place_order(key: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        idempotency_key: key.to_owned(),
        fingerprint: vec![7; 32],
        session: String::new(),
        lines: vec![Line {
            sku: SKU.to_owned(),
            quantity: 1,
        }],
        payment_token: "tok_ok".to_owned(),
    }
}

/// A charge, as orders asks for it.
#[must_use]
pub fn charge_request(key: &str) -> ChargeRequest {
    ChargeRequest {
        key: key.to_owned(),
        amount: price(),
        payment_token: "tok_ok".to_owned(),
    }
}

/// What no message can be decoded from.
#[must_use]
pub fn garbage() -> Reply {
    Reply::Message(Bytes::from_static(&[0xff; 40]))
}
