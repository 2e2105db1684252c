//! Tokens that name where the next page of a list begins.
//!
//! A token carries a checksum over the session too, so that what we did not issue for this list is refused. That is not
//! a matter of security: a page shows nothing but the session's own orders.

use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    order::{Order, OrderId},
    placement::Malformed,
};

/// The last order of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) created_at: Timestamp,
    pub(crate) id: OrderId,
}

impl Cursor {
    pub(crate) fn at(order: &Order) -> Self {
        Self {
            created_at: order.created_at,
            id: order.id,
        }
    }

    pub(crate) fn token(&self, session: &str) -> String {
        let place = format!("{:x}.{}", self.created_at.0, self.id);
        let sum = Sha256::digest(format!("orders page 1\0{session}\0{place}"));
        let sum = &sum[..8];
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{place}.{sum}")
    }

    /// # Errors
    /// The token is not one that [`token`](Self::token) made for this session.
    pub(crate) fn parse(token: &str, session: &str) -> Result<Self, Malformed> {
        let mut parts = token.split('.');
        let created_at = parts
            .next()
            .and_then(|hex| i64::from_str_radix(hex, 16).ok());
        let id = parts.next().and_then(|id| id.parse().ok());
        let (Some(created_at), Some(id)) = (created_at, id) else {
            return Err(Malformed::PageToken);
        };
        let cursor = Self {
            created_at: Timestamp(created_at),
            id,
        };
        if cursor.token(session) == token {
            Ok(cursor)
        } else {
            Err(Malformed::PageToken)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            created_at: Timestamp(1_700_000_000_000_000),
            id: OrderId::random(),
        }
    }

    #[test]
    fn a_token_leads_back_to_its_place() {
        let cursor = cursor();
        assert_eq!(Cursor::parse(&cursor.token("s"), "s"), Ok(cursor));
    }

    #[test]
    fn a_token_that_we_did_not_issue_for_the_session_is_refused() {
        let token = cursor().token("s");
        let upper = token.to_uppercase();
        let other = token.replacen('6', "7", 1);
        for token in ["", "1", "a.b.c", &token[1..], &upper, &other, "+1"] {
            assert_eq!(Cursor::parse(token, "s"), Err(Malformed::PageToken));
        }
        assert_eq!(Cursor::parse(&token, "t"), Err(Malformed::PageToken));
    }
}
