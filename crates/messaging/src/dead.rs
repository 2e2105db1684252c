//! Dead letters: what is known of one, and which are sent on their way again.

use time::OffsetDateTime;

use crate::Headers;

/// A message that could not be worked on and waits for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's id; of a message that states none, a name made from its body.
    pub id: String,
    /// Why it is here.
    pub reason: String,
    /// When it came here, if that is known.
    pub died_at: Option<OffsetDateTime>,
    /// How often it had been delivered by then, if that is known.
    pub deliveries: Option<u32>,
    /// As it was published, also when it is no message.
    pub body: Vec<u8>,
    /// The headers of the request that caused it.
    pub headers: Headers,
}

/// Which dead letters to publish again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// All of them.
    All,
    /// Those of this id.
    Id(String),
}

impl Replay {
    pub(crate) fn wants(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Id(wanted) => wanted == id,
        }
    }
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that no consumer has in hand.
    pub ready: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Why the broker itself gave up a message, in words.
pub(crate) const TOO_OFTEN: &str = "delivered too often without being settled";

/// A name for a message that states no id.
pub(crate) fn name_of(body: &[u8]) -> String {
    // FNV-1a: the name must be the same in every process and version, nothing more.
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("unnamed-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_unnamed_message_depends_on_its_body_alone() {
        assert_eq!(name_of(b""), "unnamed-cbf29ce484222325");
        assert_eq!(name_of(b"a"), "unnamed-af63dc4c8601ec8c");
    }

    #[test]
    fn one_or_all_are_replayed() {
        assert!(Replay::All.wants("m-1"));
        assert!(Replay::Id("m-1".to_owned()).wants("m-1"));
        assert!(!Replay::Id("m-1".to_owned()).wants("m-2"));
    }
}
