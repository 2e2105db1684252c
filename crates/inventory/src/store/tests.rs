//! What the stock does, on SQLite and on PostgreSQL.

use tokio::task::JoinSet;

use super::*;
use crate::{app::MIGRATIONS, catalogue::SEEDS, reservation::Refusal};

mesh_store::on_each_database!(
    "inventory",
    super::MIGRATIONS,
    a_new_store_has_the_catalogue_and_an_old_one_keeps_its_stock,
    a_listing_goes_on_where_it_ended,
    reserving_takes_all_lines_or_none,
    the_same_order_gets_the_same_answer,
    a_release_gives_back_once,
    a_tombstone_refuses_a_late_reserve,
    what_is_sold_stays_sold,
    of_200_orders_50_get_the_last_50_pieces,
    orders_that_want_the_same_in_any_order_never_wait_in_a_circle,
    of_commit_and_release_one_wins,
    the_same_order_reserved_at_once_takes_once,
    reserve_and_release_at_once_leave_nothing_reserved,
);

const PIECES: i64 = 50;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn order(number: u128) -> OrderId {
    OrderId::parse(&uuid::Uuid::from_u128(number).to_string()).unwrap()
}

fn message() -> MessageId {
    MessageId::parse("message").unwrap()
}

fn lines(lines: &[(&str, i32)]) -> Lines {
    Lines::new(
        lines
            .iter()
            .map(|(sku, quantity)| ((*sku).to_owned(), *quantity)),
    )
    .unwrap()
}

async fn filled(store: Store) -> Stock {
    let stock = Stock::new(store);
    stock.fill(PIECES.unsigned_abs(), soon()).await.unwrap();
    stock
}

impl Stock {
    async fn available(&self, sku: &str) -> i64 {
        self.get(&[sku.to_owned()], soon()).await.unwrap()[0].available
    }

    async fn try_reserve(&self, number: u128, wanted: &[(&str, i32)]) -> Result<Reserve, Error> {
        self.reserve(&order(number), &lines(wanted), soon()).await
    }

    /// Whether a reservation was made.
    async fn reserves(&self, number: u128, wanted: &[(&str, i32)]) -> bool {
        matches!(
            self.try_reserve(number, wanted).await.unwrap(),
            Reserve::Reserved(_)
        )
    }
}

async fn a_new_store_has_the_catalogue_and_an_old_one_keeps_its_stock(store: Store) {
    let stock = filled(store).await;
    let all = stock.list("", 100, soon()).await.unwrap();
    assert_eq!(all.len(), 24);
    assert!(
        all.iter()
            .all(|product| product.available == PIECES && product.price.currency == "EUR")
    );
    assert!(stock.reserves(1, &[("teapot", 1)]).await);
    stock.fill(7, soon()).await.unwrap();
    assert_eq!(
        (
            stock.available("teapot").await,
            stock.available("apron").await
        ),
        (PIECES - 1, PIECES)
    );
}

async fn a_listing_goes_on_where_it_ended(store: Store) {
    let stock = filled(store).await;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().cloned().unwrap_or_default();
        let page = stock.list(&after, 5, soon()).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|product| product.sku));
    }
    assert_eq!(seen, SEEDS.map(|seed| seed.sku));
    let asked = ["teapot", "no-such-thing", "apron", "nul\0", "teapot"].map(str::to_owned);
    let found = stock.get(&asked, soon()).await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|product| product.sku.as_str())
            .collect::<Vec<_>>(),
        ["apron", "teapot"]
    );
    assert_eq!(stock.get(&[], soon()).await.unwrap(), []);
}

async fn reserving_takes_all_lines_or_none(store: Store) {
    let stock = filled(store).await;
    let too_many = &[("teapot", 51), ("apron", 50), ("kettle", 1_000)];
    let Reserve::OutOfStock(short, prices) = stock.try_reserve(1, too_many).await.unwrap() else {
        panic!("there are too few");
    };
    assert_eq!(short, ["kettle", "teapot"]);
    assert!(
        prices.keys().eq(["apron", "kettle", "teapot"]),
        "{prices:?}"
    );
    assert_eq!(prices["apron"].amount_minor, 2_900);
    assert_eq!(prices["teapot"].amount_minor, 5_450);
    let unknown = &[
        ("teapot", 51),
        ("apron", 1),
        ("zebra", 1),
        ("nul\0", 1),
        ("' OR 1=1", 1),
    ];
    let refused = Reserve::UnknownProduct(["' OR 1=1", "nul\0", "zebra"].map(str::to_owned).into());
    assert_eq!(stock.try_reserve(2, unknown).await.unwrap(), refused);
    assert_eq!(stock.available("apron").await, PIECES);

    // Neither left anything behind: the same orders may try again.
    let all = Reserve::Reserved(BTreeMap::from([
        (
            "apron".to_owned(),
            Price {
                currency: "EUR".to_owned(),
                amount_minor: 2_900,
            },
        ),
        (
            "teapot".to_owned(),
            Price {
                currency: "EUR".to_owned(),
                amount_minor: 5_450,
            },
        ),
    ]));
    assert_eq!(
        stock
            .try_reserve(1, &[("teapot", 50), ("apron", 50)])
            .await
            .unwrap(),
        all
    );
    assert_eq!(
        (
            stock.available("apron").await,
            stock.available("teapot").await
        ),
        (0, 0)
    );
}

async fn the_same_order_gets_the_same_answer(store: Store) {
    let stock = filled(store).await;
    let first = stock
        .try_reserve(1, &[("teapot", 2), ("apron", 1)])
        .await
        .unwrap();
    let mut tx = stock.store.begin(soon()).await.unwrap();
    sqlx::query("UPDATE product SET amount_minor = 1")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(
        stock
            .try_reserve(1, &[("apron", 1), ("teapot", 2)])
            .await
            .unwrap(),
        first
    );
    for others in [
        &[("teapot", 2)][..],
        &[("teapot", 2), ("apron", 2)],
        &[("teapot", 2), ("kettle", 1)],
    ] {
        let refused = stock.try_reserve(1, others).await;
        assert!(
            matches!(refused, Err(Error::Invalid(Invalid::OtherLines))),
            "{refused:?}"
        );
    }
    stock.commit(&order(1), &message(), soon()).await.unwrap();
    assert_eq!(
        stock
            .try_reserve(1, &[("apron", 1), ("teapot", 2)])
            .await
            .unwrap(),
        first
    );
    assert_eq!(stock.available("teapot").await, PIECES - 2);
}

async fn a_release_gives_back_once(store: Store) {
    let stock = filled(store).await;
    assert!(stock.reserves(1, &[("teapot", 20), ("apron", 3)]).await);
    for _ in 0..3 {
        assert_eq!(
            stock.release(&order(1), soon()).await.unwrap(),
            Release::Released
        );
        assert_eq!(
            (
                stock.available("teapot").await,
                stock.available("apron").await
            ),
            (PIECES, PIECES)
        );
    }
    let late = stock.commit(&order(1), &message(), soon()).await;
    assert!(
        matches!(late, Err(Error::Refused(Refusal::Released))),
        "{late:?}"
    );
}

async fn a_tombstone_refuses_a_late_reserve(store: Store) {
    let stock = filled(store).await;
    assert_eq!(
        stock.release(&order(1), soon()).await.unwrap(),
        Release::Released
    );
    let late = stock.try_reserve(1, &[("teapot", 1)]).await;
    assert!(
        matches!(late, Err(Error::Refused(Refusal::Released))),
        "{late:?}"
    );
    assert_eq!(stock.available("teapot").await, PIECES);
    assert!(stock.reserves(2, &[("teapot", 1)]).await);
}

async fn what_is_sold_stays_sold(store: Store) {
    let stock = filled(store).await;
    let early = stock.commit(&order(1), &message(), soon()).await;
    assert!(
        matches!(early, Err(Error::Refused(Refusal::NothingReserved))),
        "{early:?}"
    );
    assert!(stock.reserves(1, &[("teapot", 5)]).await);
    let other = MessageId::parse("another").unwrap();
    for id in [message(), message(), other] {
        stock.commit(&order(1), &id, soon()).await.unwrap();
    }
    assert_eq!(
        stock.release(&order(1), soon()).await.unwrap(),
        Release::Committed
    );
    assert_eq!(stock.available("teapot").await, PIECES - 5);

    let mut tx = stock.store.read(soon()).await.unwrap();
    let row = sqlx::query("SELECT committed_by FROM reservation")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "message", "the first counts");
}

async fn of_200_orders_50_get_the_last_50_pieces(store: Store) {
    let stock = filled(store).await;
    let mut orders = JoinSet::new();
    for number in 0..200 {
        let stock = stock.clone();
        orders.spawn(async move { stock.reserves(number, &[("teapot", 1)]).await });
    }
    let made = orders
        .join_all()
        .await
        .into_iter()
        .filter(|made| *made)
        .count();
    assert_eq!((made, stock.available("teapot").await), (50, 0));
}

async fn orders_that_want_the_same_in_any_order_never_wait_in_a_circle(store: Store) {
    let stock = filled(store).await;
    let mut wanted: Vec<_> = SEEDS.iter().take(8).map(|seed| (seed.sku, 1)).collect();
    let mut orders = JoinSet::new();
    for number in 0..80 {
        wanted.rotate_left(3);
        let (stock, mine) = (stock.clone(), wanted.clone());
        orders.spawn(async move {
            let reserved = stock.reserves(number, &mine).await;
            let released = number % 2 == 0;
            if released {
                stock.release(&order(number), soon()).await.unwrap();
            }
            reserved && !released
        });
    }
    let kept = orders
        .join_all()
        .await
        .into_iter()
        .filter(|kept| *kept)
        .count();
    for (sku, _) in wanted {
        assert_eq!(
            stock.available(sku).await,
            PIECES - i64::try_from(kept).unwrap(),
            "{sku}"
        );
    }
}

async fn of_commit_and_release_one_wins(store: Store) {
    let stock = filled(store).await;
    for number in 0..40 {
        assert!(stock.reserves(number, &[("teapot", 1)]).await);
        let (id, message) = (order(number), message());
        let (sold, freed) = tokio::join!(
            stock.commit(&id, &message, soon()),
            stock.release(&id, soon())
        );
        match (sold, freed.unwrap()) {
            (Ok(()), Release::Committed) => {}
            (Err(Error::Refused(Refusal::Released)), Release::Released) => {}
            both => panic!("{both:?}"),
        }
    }
    let mut tx = stock.store.read(soon()).await.unwrap();
    let sql = "SELECT COUNT(*) FROM reservation WHERE state = 'committed'";
    let sold: i64 = sqlx::query(sql).fetch_one(&mut *tx).await.unwrap().get(0);
    assert_eq!(stock.available("teapot").await, PIECES - sold);
}

async fn the_same_order_reserved_at_once_takes_once(store: Store) {
    let stock = filled(store).await;
    let mut tries = JoinSet::new();
    for _ in 0..20 {
        let stock = stock.clone();
        tries.spawn(async move { stock.reserves(1, &[("teapot", 30), ("apron", 1)]).await });
    }
    assert_eq!(tries.join_all().await, [true; 20]);
    assert_eq!(stock.available("teapot").await, PIECES - 30);
}

async fn reserve_and_release_at_once_leave_nothing_reserved(store: Store) {
    let stock = filled(store).await;
    for number in 0..40 {
        let id = order(number);
        let (reserved, released) = tokio::join!(
            stock.try_reserve(number, &[("teapot", 1)]),
            stock.release(&id, soon())
        );
        assert_eq!(released.unwrap(), Release::Released);
        assert!(matches!(
            reserved,
            Ok(Reserve::Reserved(_)) | Err(Error::Refused(Refusal::Released))
        ));
    }
    assert_eq!(stock.available("teapot").await, PIECES);
}
