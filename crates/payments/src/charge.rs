//! The rules of charges.

use mesh_config::Secret;
use sha2::{Digest as _, Sha256};

const LONGEST_KEY: usize = 255;

/// Why a request makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("the key must have 1 to {LONGEST_KEY} characters")]
    Key,
    #[error("the amount must be positive")]
    Amount,
    #[error("the currency must be three capital letters")]
    Currency,
    #[error("the provider does not know the payment token")]
    Token,
}

/// Why nothing may be taken under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the key was used for another amount or token")]
    KeyReused,
    #[error("the key was voided")]
    Voided,
}

/// Names one charge and whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(text: String) -> Result<Self, Invalid> {
        let fits = (1..=LONGEST_KEY).contains(&text.chars().count()) && !text.contains('\0');
        fits.then_some(Self(text)).ok_or(Invalid::Key)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A positive amount of money in the smallest unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount {
    currency: String,
    minor: i64,
}

impl Amount {
    pub(crate) fn new(currency: String, minor: i64) -> Result<Self, Invalid> {
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Invalid::Currency);
        }
        if minor <= 0 {
            return Err(Invalid::Amount);
        }
        Ok(Self { currency, minor })
    }

    pub(crate) fn currency(&self) -> &str {
        &self.currency
    }

    pub(crate) fn minor(&self) -> i64 {
        self.minor
    }
}

/// What is to be taken from whom. The token is a secret: it goes to the provider and nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: Key,
    pub(crate) amount: Amount,
    pub(crate) token: Secret,
}

impl Order {
    /// Tells whether two orders of one key are the same. The key is part of it, so that equal tokens do not show.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let Self {
            key,
            amount: Amount { currency, minor },
            token,
        } = self;
        let mut hash = Sha256::new();
        for field in [key.as_str(), currency, &minor.to_string(), token.expose()] {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        Fingerprint(
            hash.finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

/// A digest of an [`Order`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn recorded(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The provider may have been asked; what it did is not recorded.
    Started,
    Charged,
    Declined,
    Refunded,
    Voided,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Started,
        Self::Charged,
        Self::Declined,
        Self::Refunded,
        Self::Voided,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Refunded => "refunded",
            Self::Voided => "voided",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What payments has recorded of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) state: State,
    /// None where a refund came before any charge.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// What to do for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    AskProvider,
    Answer(State),
}

/// What to do for an order whose key has this record.
pub(crate) fn next(record: &Record, asked: &Fingerprint) -> Result<Next, Refusal> {
    if record
        .fingerprint
        .as_ref()
        .is_some_and(|recorded| recorded != asked)
    {
        return Err(Refusal::KeyReused);
    }
    match record.state {
        // The one who started may be at it still, or may have died. The provider takes nothing twice.
        State::Started => Ok(Next::AskProvider),
        State::Voided => Err(Refusal::Voided),
        state @ (State::Charged | State::Declined | State::Refunded) => Ok(Next::Answer(state)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: &str, currency: &str, minor: i64, token: &str) -> Order {
        Order {
            key: Key::parse(key.to_owned()).expect("a good key"),
            amount: Amount::new(currency.to_owned(), minor).expect("a good amount"),
            token: Secret::new(token),
        }
    }

    #[test]
    fn keys_amounts_and_currencies_have_their_form() {
        for (length, good) in [(0, false), (1, true), (255, true), (256, false)] {
            assert_eq!(Key::parse("ü".repeat(length)).is_ok(), good, "{length}");
        }
        assert_eq!(
            Key::parse("a\0b".to_owned()),
            Err(Invalid::Key),
            "no database stores it"
        );
        for (currency, minor, expected) in [
            ("EUR", 1, None),
            ("EUR", i64::MAX, None),
            ("EUR", 0, Some(Invalid::Amount)),
            ("EUR", -1, Some(Invalid::Amount)),
            ("eur", 1, Some(Invalid::Currency)),
            ("EURO", 1, Some(Invalid::Currency)),
            ("ÄU", 1, Some(Invalid::Currency)),
            ("", 1, Some(Invalid::Currency)),
        ] {
            assert_eq!(
                Amount::new(currency.to_owned(), minor).err(),
                expected,
                "{minor} {currency}"
            );
        }
    }

    #[test]
    fn a_fingerprint_is_of_everything_and_shows_nothing() {
        let one = order("key", "EUR", 1250, "tok_ok");
        assert_eq!(
            one.fingerprint(),
            order("key", "EUR", 1250, "tok_ok").fingerprint()
        );
        for other in [
            order("yek", "EUR", 1250, "tok_ok"),
            order("key", "USD", 1250, "tok_ok"),
            order("key", "EUR", 1251, "tok_ok"),
            order("key", "EUR", 1250, "tok_slow"),
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
        assert!(!format!("{one:?} {:?}", one.fingerprint()).contains("tok_ok"));
    }

    #[test]
    fn a_known_key_is_answered_by_its_record() {
        let asked = order("key", "EUR", 1250, "tok_ok").fingerprint();
        let other = order("key", "EUR", 1, "tok_ok").fingerprint();
        for (state, expected) in [
            (State::Started, Ok(Next::AskProvider)),
            (State::Charged, Ok(Next::Answer(State::Charged))),
            (State::Declined, Ok(Next::Answer(State::Declined))),
            (State::Refunded, Ok(Next::Answer(State::Refunded))),
            (State::Voided, Err(Refusal::Voided)),
        ] {
            let record = |fingerprint| Record { state, fingerprint };
            assert_eq!(next(&record(Some(asked.clone())), &asked), expected);
            assert_eq!(
                next(&record(Some(other.clone())), &asked),
                Err(Refusal::KeyReused)
            );
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        let voided = Record {
            state: State::Voided,
            fingerprint: None,
        };
        assert_eq!(next(&voided, &asked), Err(Refusal::Voided));
        assert_eq!(State::parse("paid"), None);
    }
}
