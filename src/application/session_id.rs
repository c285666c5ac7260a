//! The secret by which a session is known.

use std::fmt;

use crate::CacheError;

/// Bytes of chance.
const BYTES: usize = 32;

/// The id of a session: 256 random bits from the operating system, as 64 hexadecimal digits.
///
/// Whoever has it has the session: it goes into a cookie (`HttpOnly`, `Secure`, `SameSite`), and nowhere
/// else. `Debug` does not show it, and the store does not hold it, only a hash of it. Two are not
/// compared, for that would take a time that tells how much of them is alike.
#[derive(Clone)]
pub struct SessionId(String);

impl SessionId {
    pub(super) fn fresh() -> Result<Self, CacheError> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| CacheError::NoRandomness(error.to_string()))?;
        Ok(Self(hex(&bytes)))
    }

    /// The id as the client gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// What the store knows of an id: a hash, from which nobody finds the id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; BYTES]);

impl Digest {
    /// `None` for what cannot be an id of ours, whatever it is: nothing of it reaches the store. One id
    /// has one spelling.
    ///
    /// Ids are not compared: what is looked up is the hash, and how long that takes says nothing of how
    /// much of an id was right.
    pub(super) fn of(sessions: &str, id: &str) -> Option<Self> {
        let fits = id.len() == 2 * BYTES && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !fits {
            return None;
        }
        let mut hasher = blake3::Hasher::new_derive_key("sea-orm-cache 2026 session id");
        // Of one length, so what follows it cannot be taken for a part of it.
        hasher.update(id.as_bytes());
        hasher.update(sessions.as_bytes());
        Some(Self(*hasher.finalize().as_bytes()))
    }

    pub(super) fn text(&self) -> String {
        hex(&self.0)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_long_and_never_the_same_and_not_shown() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| SessionId::fresh().unwrap().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 64 && Digest::of("web", id).is_some()));
        assert_eq!(format!("{:?}", SessionId::fresh().unwrap()), "SessionId(..)");
    }

    #[test]
    fn the_digest_is_neither_the_id_nor_that_of_other_sessions() {
        let id = SessionId::fresh().unwrap();
        let digest = Digest::of("web", id.as_str()).unwrap();
        assert_ne!(digest.text(), id.as_str());
        assert!(Digest::of("admin", id.as_str()).unwrap() != digest);
        assert!(Digest::of("web", id.as_str()).unwrap() == digest);
    }

    #[test]
    fn what_is_not_spelt_as_an_id_is_none() {
        let id = SessionId::fresh().unwrap().as_str().to_owned();
        let long = "a".repeat(10_000_000);
        for text in ["", "admin", &id[1..], &id.to_uppercase(), &format!("{id}0"), &format!(" {id}"), &long] {
            assert!(Digest::of("web", text).is_none() || text == id, "{} bytes", text.len());
        }
        assert!(Digest::of("web", &"é".repeat(32)).is_none());
    }
}
