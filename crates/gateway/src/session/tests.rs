//! Ids and names; and what every store of sessions must do.

use super::*;
use crate::product::{Quantity, Sku};

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

pub(crate) fn some_cart() -> Cart {
    let mut cart = Cart::default();
    cart.set(Sku::parse("A").unwrap(), Quantity::try_from(2).unwrap())
        .unwrap();
    cart
}

pub(crate) async fn only_the_version_that_was_read_is_replaced(sessions: &dyn Sessions) {
    let name = SessionId::random().name();
    let replace = |read, cart| sessions.replace(&name, read, cart, soon());
    assert_eq!(sessions.find(&name, soon()).await, Ok(None));
    assert_eq!(replace(0, some_cart()).await, Ok(false));
    assert_eq!(
        sessions.find(&name, soon()).await,
        Ok(None),
        "nothing is made"
    );

    sessions.create(&name, soon()).await.unwrap();
    let new = sessions.find(&name, soon()).await.unwrap().unwrap();
    assert_eq!(
        new,
        Versioned::default(),
        "whoever made it need not ask for it"
    );
    assert_eq!(replace(new.version, some_cart()).await, Ok(true));
    assert_eq!(replace(new.version, Cart::default()).await, Ok(false));
    let filled = sessions.find(&name, soon()).await.unwrap().unwrap();
    assert_eq!(filled.cart, some_cart());
    assert_ne!(filled.version, new.version);
    assert_eq!(replace(filled.version, Cart::default()).await, Ok(true));
    let emptied = sessions.find(&name, soon()).await.unwrap().unwrap();
    assert!(emptied.cart.is_empty());
    assert!(![new.version, filled.version].contains(&emptied.version));
}

#[test]
fn an_id_is_read_back_and_nothing_else_is() {
    let id = SessionId::random();
    assert_eq!(SessionId::parse(&id.expose()), Some(id.clone()));
    assert_ne!(SessionId::random(), id);
    let upper = format!("A{}", &id.expose()[1..]);
    for wrong in [
        "",
        "0",
        &"g".repeat(64),
        &"0".repeat(63),
        &"\u{e9}".repeat(32),
        &upper,
    ] {
        assert_eq!(SessionId::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn the_name_does_not_show_the_id() {
    let id = SessionId::random();
    assert_ne!(id.name().as_str(), id.expose());
    assert_eq!(id.name(), id.name());
    assert!(!format!("{id:?}").contains(&id.expose()));
}
