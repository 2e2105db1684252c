//! Sessions: who a cart and a list of orders belong to.
//!
//! A browser holds a [`SessionId`] in its cookie; everything behind the gateway knows the session by its
//! [`SessionName`] only, from which the cookie cannot be found. The store is dumb on purpose: it keeps a cart with a
//! version and replaces it if the version is still the same, so that the rules of carts stand in one place and a shared
//! store can do each operation in one step. A session ends a day after it was made, as its cookie does.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use futures_util::future::BoxFuture;
use mesh_context::Deadline;
use sha2::{Digest, Sha256};

use crate::cart::Cart;

mod memory;
mod redis;

pub(crate) use self::{memory::Memory, redis::Redis};

/// How long a session lives, in the store and as a cookie.
pub(crate) const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What the browser holds: 256 random bits. Whoever has it is the session, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionId([u8; 32]);

impl SessionId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// `None` when we never issue such an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        let canonical = text.len() == 64
            && text
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return None;
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(id))
    }

    /// For the cookie, and nothing else.
    pub(crate) fn expose(&self) -> String {
        hex(&self.0)
    }

    pub(crate) fn name(&self) -> SessionName {
        SessionName(hex(&Sha256::digest(self.0)))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(***)")
    }
}

/// What others may know of a session: the SHA-256 of its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionName(String);

impl SessionName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A cart as it was read, and which of its versions that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versioned {
    pub(crate) cart: Cart,
    pub(crate) version: u64,
}

/// The store of sessions gave no answer, or none that makes sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Others may have more luck, later.
    #[error("sessions: {0}")]
    Away(String),
    /// The request had no time for it.
    #[error("sessions: no answer in the time of the request")]
    OutOfTime,
}

/// What [`Sessions`] answers, before the deadline.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Where sessions live for [`TTL`] after they were made.
pub(crate) trait Sessions: fmt::Debug + Send + Sync {
    /// Makes a session with an empty cart.
    fn create<'a>(&'a self, name: &'a SessionName, deadline: Deadline) -> Answer<'a, ()>;

    /// The session's cart; `None` when there is no such session, or no more.
    fn find<'a>(
        &'a self,
        name: &'a SessionName,
        deadline: Deadline,
    ) -> Answer<'a, Option<Versioned>>;

    /// Puts `cart` in the place of the version that was read. `false`, and nothing changed, when another request was
    /// faster or the session is gone.
    fn replace<'a>(
        &'a self,
        name: &'a SessionName,
        read: u64,
        cart: Cart,
        deadline: Deadline,
    ) -> Answer<'a, bool>;
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}

#[cfg(test)]
pub(crate) mod tests;
