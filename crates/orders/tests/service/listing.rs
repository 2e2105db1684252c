//! Orders as customers find them again.

use std::time::Duration;

use mesh_proto::orders::v1::{PlaceOrderRequest, place_order_response::Outcome};
use mesh_store::Store;
use tonic::Code;

use crate::world::{World, expect, order_of, refused};

mesh_store::on_each_database!(
    "orders",
    mesh_orders::MIGRATIONS,
    a_session_sees_its_orders_newest_first_page_by_page,
    a_list_belongs_to_a_session,
    a_page_token_that_we_did_not_issue_is_refused,
    an_id_that_names_no_order_is_not_found,
);

async fn place(world: &World, key: &str, session: &str) -> String {
    let session = session.to_owned();
    let request = PlaceOrderRequest {
        session,
        ..order_of(key, "tok_ok", &[("pen", 1)])
    };
    expect(world.place(request).await, Outcome::Confirmed, false).id
}

async fn a_session_sees_its_orders_newest_first_page_by_page(store: Store) {
    let world = World::new(store).await;
    let mut placed = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        placed.insert(0, place(&world, key, "mine").await);
        // Two of them are of the same instant.
        world.pass(Duration::from_secs(u64::from(key != "2")));
    }
    let (mut token, mut sizes, mut found) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = world.list("mine", 2, &token).await.unwrap();
        sizes.push(page.orders.len());
        found.extend(page.orders.into_iter().map(|order| order.id));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(sizes, [2, 2, 1]);
    // Which of two of the same instant comes first does not matter, as long as each comes once.
    found[2..4].sort();
    placed[2..4].sort();
    assert_eq!(found, placed);

    for (size, expected) in [(0, 5), (-1, 1), (5, 5), (1_000, 5)] {
        let page = world.list("mine", size, "").await.unwrap();
        assert_eq!(page.orders.len(), expected, "{size}");
        assert_eq!(page.next_page_token.is_empty(), expected == 5, "{size}");
    }
}

async fn a_list_belongs_to_a_session(store: Store) {
    let world = World::new(store).await;
    let mine = place(&world, "1", "mine").await;
    let yours = place(&world, "2", "yours").await;
    let nobodys = place(&world, "3", "").await;
    for (session, expected) in [
        ("mine", vec![mine]),
        ("yours", vec![yours]),
        ("", vec![]),
        ("new", vec![]),
    ] {
        let orders = world.list(session, 0, "").await.unwrap().orders;
        let ids: Vec<String> = orders.into_iter().map(|order| order.id).collect();
        assert_eq!(ids, expected, "{session:?}");
    }
    world.get(&nobodys).await.unwrap();
}

async fn a_page_token_that_we_did_not_issue_is_refused(store: Store) {
    let world = World::new(store).await;
    for key in ["1", "2"] {
        place(&world, key, "mine").await;
    }
    let token = world.list("mine", 1, "").await.unwrap().next_page_token;
    assert!(!token.is_empty());
    for (session, token) in [
        ("mine", "x"),
        ("mine", "\0"),
        ("yours", &token),
        ("", &token),
    ] {
        let answer = world.list(session, 1, token).await;
        assert_eq!(
            refused(answer).0,
            Code::InvalidArgument,
            "{session:?} {token:?}"
        );
    }
    assert_eq!(
        refused(world.list("a\0b", 1, "").await).0,
        Code::InvalidArgument
    );
}

async fn an_id_that_names_no_order_is_not_found(store: Store) {
    let world = World::new(store).await;
    for id in ["", "42", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "\0"] {
        assert_eq!(refused(world.get(id).await).0, Code::NotFound, "{id:?}");
    }
}
