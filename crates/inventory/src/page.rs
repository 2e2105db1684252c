//! Page tokens: where a listing goes on. Opaque to clients, and only those that we issued are taken.
//!
//! A token is the last sku of the page before and a checksum. That keeps accidents and guesses out; it is no secret: who
//! forges one sees another page of a public catalogue.

use sha2::{Digest as _, Sha256};

/// Changes with the meaning of a token, so that an old one is refused rather than misread.
const VERSION: u8 = 1;
const CHECKSUM: usize = 8;

/// The token for what comes after `sku`.
pub(crate) fn token(sku: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(checksum(sku));
    bytes.extend(sku.as_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sku of a token that we issued.
pub(crate) fn sku(token: &str) -> Option<String> {
    let bytes = unhex(token)?;
    let (head, sku) = bytes.split_at_checked(1 + CHECKSUM)?;
    let sku = String::from_utf8(sku.to_vec()).ok()?;
    (head[0] == VERSION && head[1..] == checksum(&sku)).then_some(sku)
}

fn checksum(sku: &str) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(format!("shop.inventory.v1.ListProducts {sku}"));
    std::array::from_fn(|i| digest[i])
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = text.bytes().map(nibble).collect::<Option<_>>()?;
    let pairs = nibbles.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_sku() {
        for name in ["espresso-cup", "", "größe"] {
            assert_eq!(sku(&token(name)).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_refused() {
        let issued = token("espresso-cup");
        for at in 0..issued.len() {
            let mut forged = issued.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(
                sku(&String::from_utf8(forged).expect("ASCII")),
                None,
                "changed at {at}"
            );
            assert_eq!(sku(&issued[..at]), None, "cut at {at}");
        }
        for foreign in ["", "espresso-cup", "0", "zz", "ö", &issued.to_uppercase()] {
            assert_eq!(sku(foreign), None, "{foreign}");
        }
    }
}
