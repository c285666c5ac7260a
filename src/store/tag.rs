//! The three states of a tag, and how they are written down.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU64,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The random value that a tag carries in the store. Two fills of the same tag with a purge
/// between them never see the same stamp.
///
/// A stamp may carry a label besides: a fixed number that says on what terms entries depend on the
/// tag, for a writer that can spare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    number: NonZeroU64,
    /// Zero is none.
    label: u64,
}

/// Who leaves a mark on a tag: one transaction, or one statement on its own. Random, like a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId(u64);

impl WriterId {
    /// An id that nobody else has.
    pub fn fresh() -> Self {
        Self(Stamp::fresh().get())
    }

    /// An id for tests and models.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for WriterId {
    /// As in the store: `w` and sixteen lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, b'w', self.0)
    }
}

/// What a tag key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagState {
    /// Nothing: every entry that depends on the tag is a miss.
    Absent,
    /// A stamp: entries that recorded the same one are valid.
    Stamp(Stamp),
    /// A writer's COMMIT is in flight, or a value that is not ours: go to the database, store
    /// nothing.
    Barrier,
}

impl Stamp {
    /// A fresh stamp: a keyed hash (the operating system's randomness, once per process) of a
    /// counter, so that no two processes and no two calls agree but by a 2^-64 chance.
    pub fn fresh() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let hash = KEY.hash_one(COUNTER.fetch_add(1, Ordering::Relaxed));
        Self { number: NonZeroU64::new(hash).unwrap_or(NonZeroU64::MAX), label: 0 }
    }

    /// The same stamp with a label; zero is none.
    #[must_use]
    pub fn labelled(self, label: u64) -> Self {
        Self { label, ..self }
    }

    /// The label; zero is none.
    pub fn label(self) -> u64 {
        self.label
    }

    /// The stamp as a number, for an entry's header.
    pub fn get(self) -> u64 {
        self.number.get()
    }

    /// The other way; zero is not a stamp.
    pub fn from_number(number: u64) -> Option<Self> {
        Some(Self { number: NonZeroU64::new(number)?, label: 0 })
    }
}

impl fmt::Display for Stamp {
    /// As in the store: `s` and sixteen lower-case hexadecimal digits; the label, if there is one,
    /// behind a dot in the same way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, b's', self.number.get())?;
        if self.label != 0 { write_digits(f, b'.', self.label) } else { Ok(()) }
    }
}

impl TagState {
    /// Reads what a store holds under a tag key. Anything that is not a stamp of ours counts as
    /// a barrier, which is the safe side.
    pub fn parse(raw: Option<&[u8]>) -> Self {
        let Some(raw) = raw else { return Self::Absent };
        stamp(raw).map_or(Self::Barrier, Self::Stamp)
    }
}

fn stamp(raw: &[u8]) -> Option<Stamp> {
    let (number, label) = raw.strip_prefix(b"s")?.split_at_checked(16)?;
    let label = match label {
        [] => 0,
        [b'.', label @ ..] => hexadecimal(label).filter(|label| *label != 0)?,
        _ => return None,
    };
    Some(Stamp::from_number(hexadecimal(number)?)?.labelled(label))
}

/// The other way, behind a letter. Each write sends some of these.
fn write_digits(f: &mut fmt::Formatter<'_>, letter: u8, number: u64) -> fmt::Result {
    let mut text = [letter; 17];
    for (digit, half) in text[1..].iter_mut().zip((0..16).rev()) {
        *digit = b"0123456789abcdef"[(number >> (4 * half)) as usize & 0xf];
    }
    f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

/// Sixteen lower-case digits. Each hit reads some of these, so by a table.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    const NONE: u8 = 0xff;
    const VALUES: [u8; 256] = {
        let mut values = [NONE; 256];
        let digits = b"0123456789abcdef";
        let mut value = 0;
        while value < digits.len() {
            values[digits[value] as usize] = value as u8;
            value += 1;
        }
        values
    };
    let digits: &[u8; 16] = digits.try_into().ok()?;
    let (mut number, mut odd) = (0, 0);
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        odd |= value;
        number = number << 4 | u64::from(value & 0xf);
    }
    (odd < 16).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way_to_the_store_and_back() {
        for _ in 0..1000 {
            let stamp = Stamp::fresh();
            assert_eq!(TagState::parse(Some(stamp.to_string().as_bytes())), TagState::Stamp(stamp));
            let stamp = stamp.labelled(stamp.get().rotate_left(7));
            assert_eq!(TagState::parse(Some(stamp.to_string().as_bytes())), TagState::Stamp(stamp));
        }
    }

    // case F7
    #[test]
    fn a_foreign_value_under_a_tag_is_a_barrier() {
        for raw in [
            &b""[..],
            b"s",
            b"s0000000000000000",
            b"sABCDEF0123456789",
            b"7",
            b"s0123456789abcdef0",
            b"s0123456789abcdef.",
            b"s0123456789abcdef.0000000000000000",
            b"s0123456789abcdef.0123456789abcde",
            b"s0123456789abcdef,0123456789abcdef",
            &[0xff; 17],
        ] {
            assert_eq!(TagState::parse(Some(raw)), TagState::Barrier, "{raw:?}");
        }
        assert_eq!(TagState::parse(None), TagState::Absent);
    }

    #[test]
    fn stamps_do_not_repeat() {
        let stamps: std::collections::HashSet<_> = (0..100_000).map(|_| Stamp::fresh()).collect();
        assert_eq!(stamps.len(), 100_000);
    }
}
