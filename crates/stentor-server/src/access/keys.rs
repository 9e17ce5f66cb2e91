//! Keys, known by their hashes only.
//!
//! A key is long and random, so that one round of SHA-256 is enough: what makes slow hashes necessary is that passwords
//! can be guessed, and 256 random bits can't. Short keys are refused where they can be seen.

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Characters of a key at least; 16 of a random one are about 96 bits.
const SHORTEST: usize = 16;

/// A key and what it may.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// For the log and for people.
    pub name: String,
    /// Its SHA-256.
    hash: [u8; 32],
    /// Instead of what holds for all keys.
    pub requests_per_minute: Option<u32>,
    pub concurrent: Option<u32>,
}

/// Says nothing of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashMistake {
    #[error("a hash is 64 hexadecimal digits, as `printf %s KEY | sha256sum` prints them")]
    NotAHash,
    #[error("a key needs at least {SHORTEST} characters, so that nobody can guess it")]
    TooShort,
}

impl ApiKey {
    /// A key whose SHA-256 is known, in hexadecimal digits.
    pub fn from_hash(name: &str, hex: &str) -> Result<Self, HashMistake> {
        let digits: Option<Vec<u8>> =
            hex.trim().chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(HashMistake::NotAHash)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self { name: name.to_owned(), hash, requests_per_minute: None, concurrent: None })
    }

    /// The key itself, of which only the hash is kept.
    pub fn from_secret(name: &str, secret: &str) -> Result<Self, HashMistake> {
        if secret.chars().count() < SHORTEST {
            return Err(HashMistake::TooShort);
        }
        let hash = hash_of(secret.as_bytes());
        Ok(Self { name: name.to_owned(), hash, requests_per_minute: None, concurrent: None })
    }

    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// A hash is no secret as such, and has no place in a log either.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

fn hash_of(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The key that was presented. Takes the same time whichever it is, and whether it is one at all.
pub(super) fn find<'a>(keys: &'a [ApiKey], presented: &[u8]) -> Option<&'a ApiKey> {
    let hash = hash_of(presented);
    let mut found = None;
    for key in keys {
        if bool::from(key.hash.ct_eq(&hash)) {
            found = Some(key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash_whichever_way_it_was_given() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let foo = ApiKey::from_hash("foo", hex).unwrap();
        let own = ApiKey::from_secret("own", "0123456789abcdef").unwrap();
        let keys = [foo, own];
        let name = |presented: &str| find(&keys, presented.as_bytes()).map(|key| key.name.as_str());
        assert_eq!((name("foo"), name("0123456789abcdef")), (Some("foo"), Some("own")));
        for wrong in ["", "fo", "foo ", "0123456789abcdeF", hex] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert!(!format!("{keys:?}").contains("2c"), "no hash in a log");
    }

    #[test]
    fn short_keys_and_what_is_no_hash_are_refused() {
        assert_eq!(ApiKey::from_secret("a", "hunter2"), Err(HashMistake::TooShort));
        for bad in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"é".repeat(64)] {
            assert_eq!(ApiKey::from_hash("a", bad), Err(HashMistake::NotAHash), "{bad}");
        }
    }
}
