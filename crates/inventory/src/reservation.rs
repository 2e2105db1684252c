//! The rules of reservations.

use std::{collections::BTreeMap, ops::RangeInclusive};

use uuid::Uuid;

const QUANTITIES: RangeInclusive<i32> = 1..=1_000;
const MOST_LINES: usize = 50;
const LONGEST_KEY: usize = 255;

/// Why a request makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("the order id must be a UUID")]
    OrderId,
    #[error("the message id must have 1 to {LONGEST_KEY} characters")]
    MessageId,
    #[error("an order has 1 to {MOST_LINES} lines")]
    LineCount,
    #[error("sku {0:?} stands in two lines")]
    Repeated(String),
    #[error("the quantity of {0:?} must be 1 to 1000")]
    Quantity(String),
    #[error("other lines were reserved for the order before")]
    OtherLines,
    #[error("the page size must be 1 to 100, or 0 for the usual one")]
    PageSize,
    #[error("the page token was not issued by this service")]
    PageToken,
    #[error("at most 100 skus can be asked for at once")]
    SkuCount,
}

/// Which order something is reserved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderId(String);

impl OrderId {
    /// Every way to write a UUID names the same order.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let id = Uuid::parse_str(text).map_err(|_| Invalid::OrderId)?;
        Ok(Self(id.to_string()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which message asked for a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageId(String);

impl MessageId {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=LONGEST_KEY).contains(&text.chars().count()) && !text.contains('\0');
        fits.then(|| Self(text.to_owned()))
            .ok_or(Invalid::MessageId)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an order wants: pieces by sku. In the order of the skus, in which stock is taken, so that of two orders that want
/// the same products none waits for what the other holds while it holds what the other waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines(BTreeMap<String, i64>);

impl Lines {
    pub(crate) fn new(lines: impl IntoIterator<Item = (String, i32)>) -> Result<Self, Invalid> {
        let mut by_sku = BTreeMap::new();
        for (sku, quantity) in lines {
            if !QUANTITIES.contains(&quantity) {
                return Err(Invalid::Quantity(sku));
            }
            if by_sku.insert(sku.clone(), i64::from(quantity)).is_some() {
                return Err(Invalid::Repeated(sku));
            }
        }
        if (1..=MOST_LINES).contains(&by_sku.len()) {
            Ok(Self(by_sku))
        } else {
            Err(Invalid::LineCount)
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0
            .iter()
            .map(|(sku, quantity)| (sku.as_str(), *quantity))
    }
}

/// Lines that were checked before they were recorded.
impl FromIterator<(String, i64)> for Lines {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Set aside; may still become either of the others.
    Reserved,
    /// Sold, for good.
    Committed,
    /// Given back, or never to be given; for good.
    Released,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Released => "released",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Committed, Self::Released]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// Why a call comes too late or too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the reservation was released")]
    Released,
    #[error("nothing was ever reserved for the order")]
    NothingReserved,
}

/// Whether the `Reserve` of an order that is known already may have the first one's answer. Sold or not, that is the same.
pub(crate) fn may_reserve_again(state: State) -> Result<(), Refusal> {
    match state {
        State::Reserved | State::Committed => Ok(()),
        State::Released => Err(Refusal::Released),
    }
}

/// What a `Commit` that changed nothing answers; `None`: the order is not known.
pub(crate) fn commit_without_effect(state: Option<State>) -> Result<(), Refusal> {
    match state {
        Some(State::Committed) => Ok(()),
        Some(State::Released) => Err(Refusal::Released),
        // Reserved only since the commit looked: it came first, and found nothing.
        Some(State::Reserved) | None => Err(Refusal::NothingReserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[(&str, i32)]) -> Result<Lines, Invalid> {
        Lines::new(
            lines
                .iter()
                .map(|(sku, quantity)| ((*sku).to_owned(), *quantity)),
        )
    }

    #[test]
    fn an_order_has_1_to_50_lines_of_1_to_1000_pieces_each_sku_once() {
        let many: Vec<_> = (0..51).map(|i| (format!("sku-{i:02}"), 1)).collect();
        assert_eq!(lines(&[]), Err(Invalid::LineCount));
        assert!(Lines::new(many[..50].to_vec()).is_ok());
        assert_eq!(Lines::new(many), Err(Invalid::LineCount));
        for (quantity, good) in [
            (i32::MIN, false),
            (-1, false),
            (0, false),
            (1, true),
            (1_000, true),
            (1_001, false),
        ] {
            assert_eq!(lines(&[("cup", quantity)]).is_ok(), good, "{quantity}");
        }
        assert_eq!(
            lines(&[("cup", 1), ("mug", 1), ("cup", 1)]),
            Err(Invalid::Repeated("cup".to_owned()))
        );
    }

    #[test]
    fn lines_come_in_the_order_of_their_skus() {
        let lines = lines(&[("mug", 2), ("cup", 1), ("jug", 3)]).expect("good lines");
        assert_eq!(
            lines.iter().collect::<Vec<_>>(),
            [("cup", 1), ("jug", 3), ("mug", 2)]
        );
    }

    #[test]
    fn every_way_to_write_a_uuid_is_the_same_order() {
        let canonical = OrderId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8");
        for same in [
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "67e5504410b1426f9247bb680e5fe0c8",
        ] {
            assert_eq!(OrderId::parse(same), canonical);
        }
        for bad in ["", "1", "67e55044-10b1-426f-9247-bb680e5fe0cg"] {
            assert_eq!(OrderId::parse(bad), Err(Invalid::OrderId));
        }
    }

    #[test]
    fn a_message_id_is_short_and_there() {
        for (length, good) in [(0, false), (1, true), (255, true), (256, false)] {
            assert_eq!(
                MessageId::parse(&"ü".repeat(length)).is_ok(),
                good,
                "{length}"
            );
        }
        assert_eq!(
            MessageId::parse("a\0b"),
            Err(Invalid::MessageId),
            "no database stores it"
        );
    }

    #[test]
    fn a_known_order_is_answered_by_its_state() {
        use State::{Committed, Released, Reserved};
        for (state, reserve, commit) in [
            (Some(Reserved), Ok(()), Err(Refusal::NothingReserved)),
            (Some(Committed), Ok(()), Ok(())),
            (
                Some(Released),
                Err(Refusal::Released),
                Err(Refusal::Released),
            ),
            (None, Ok(()), Err(Refusal::NothingReserved)),
        ] {
            assert_eq!(
                state.map_or(Ok(()), may_reserve_again),
                reserve,
                "{state:?}"
            );
            assert_eq!(commit_without_effect(state), commit, "{state:?}");
        }
        for state in [Reserved, Committed, Released] {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("sold"), None);
    }
}
