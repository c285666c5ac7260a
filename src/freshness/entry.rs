//! An entry as bytes: a header that says which stamps it depends on, then the payload.
//!
//! ```text
//! "SC" version(1) crc32(4, little endian) header(postcard) payload(as it was packed)
//! ```
//!
//! The checksum covers the entry key, the header and the payload: an entry that was truncated,
//! damaged, or copied under another key is a miss.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Early, Question, Reach,
    packing::{Packed, Packing, Wrap},
    rules,
};
use crate::{
    entity::FORMAT,
    store::{EntryKey, Stamp, TagKey, TagState},
};

const MAGIC: [u8; 2] = *b"SC";
pub(super) const PREFIX: usize = MAGIC.len() + 1 + 4;

/// What the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PayloadKind {
    /// "There is no such row."
    Missing,
    /// Rows, by column values.
    Rows,
    /// A value of the user's own type.
    Custom,
}

/// What stands before the payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    pub(crate) kind: PayloadKind,
    /// The life of the store in which the entry was made; zero if the store does not tell.
    pub(crate) incarnation: [u8; 8],
    /// Hash of the tag keys that the reader must ask for, in order.
    pub(crate) asked: [u8; 8],
    /// When its time is over, in milliseconds since 1970.
    pub(crate) until: u64,
    /// Whether it is kept beyond that, for those who may be served it then.
    pub(crate) outlives: bool,
    /// How long its load took, in microseconds; zero if nobody wanted to know.
    pub(crate) took: u64,
    /// Bytes of the payload before it was compressed; zero if it was not.
    pub(crate) length: u64,
    /// The number of the key that the payload is encrypted with; zero if it is not.
    pub(crate) sealed_with: u32,
    /// For each of those tags its stamp, or zero where the entry does not depend on it.
    pub(crate) stamps: Vec<[u8; 8]>,
    /// Tags that only the content of the entry names, each with its stamp.
    #[serde(borrow)]
    pub(crate) more: Vec<(&'a str, [u8; 8])>,
}

/// An entry about to be stored.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: PayloadKind,
    /// When its time is over, in milliseconds since 1970.
    pub(crate) until: u64,
    /// Whether it is kept beyond that, for those who may be served it then.
    pub(crate) outlives: bool,
    /// How long its load took; zero if nobody will ask.
    pub(crate) took: Duration,
    /// The life of the store in which its stamps were taken.
    pub(crate) incarnation: u64,
    /// The tags every reader of this key asks for, and the stamp taken from each; `None` where
    /// this entry does not depend on the tag.
    pub(crate) shape: Shape,
    pub(crate) stamps: &'a [Option<Stamp>],
    /// Further tags, known only once the content is.
    pub(crate) more: &'a [(TagKey, Stamp)],
    pub(crate) payload: &'a [u8],
    pub(crate) wrap: Wrap,
}

/// An entry read back. Not yet known to be valid.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) kind: PayloadKind,
    until: u64,
    outlives: bool,
    took: Duration,
    incarnation: u64,
    stamps: Vec<u64>,
    more: Vec<(TagKey, u64)>,
    pub(crate) payload: Bytes,
}

impl Entry<'_> {
    pub(crate) fn encode(&self, key: &EntryKey, packing: &Packing) -> Option<Bytes> {
        let (packed, content) = packing.pack(self.wrap, self.payload)?;
        let header = Header {
            kind: self.kind,
            incarnation: self.incarnation.to_le_bytes(),
            asked: self.shape.0,
            until: self.until,
            outlives: self.outlives,
            took: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            length: packed.length,
            sealed_with: packed.key,
            stamps: self.stamps.iter().map(|s| s.map_or(0, Stamp::get).to_le_bytes()).collect(),
            more: self.more.iter().map(|(tag, stamp)| (tag.as_str(), stamp.get().to_le_bytes())).collect(),
        };
        let mut out = Vec::with_capacity(PREFIX + 36 + 8 * self.stamps.len() + content.len());
        out.extend_from_slice(&MAGIC);
        out.push(FORMAT);
        out.extend_from_slice(&[0; 4]);
        let mut out = postcard::to_extend(&header, out).ok()?;
        match packed.key {
            0 => out.extend_from_slice(&content),
            _ => {
                let sealed = packing.seal(packed, key, &out[PREFIX..], &content)?;
                out.extend_from_slice(&sealed);
            }
        }
        let sum = checksum(key, &out[PREFIX..]);
        out[PREFIX - 4..PREFIX].copy_from_slice(&sum.to_le_bytes());
        Some(out.into())
    }
}

/// An entry that is whole and ours, its payload as it was packed.
pub(crate) struct Opened<'a> {
    pub(crate) header: Header<'a>,
    /// The header as it was written, to which the payload is bound if it is encrypted.
    pub(crate) text: &'a [u8],
    pub(crate) packed: &'a [u8],
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "which format it is, only people ask"))]
pub(crate) enum Damage {
    /// They do not begin as entries do.
    Foreign,
    /// They are an entry of another format.
    Format(u8),
    /// They are cut off, changed, or were written under another key.
    Checksum,
    /// The checksum is right, and what it covers is no header.
    Header,
}

/// Why an entry is not taken for the answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is another release's, or was made for readers who ask for other tags.
    Other,
    /// It is damaged or forged, or the key that it is encrypted with is not known.
    Unreadable,
}

impl From<Damage> for Unfit {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Format(_) => Self::Other,
            Damage::Foreign | Damage::Checksum | Damage::Header => Self::Unreadable,
        }
    }
}

impl<'a> Opened<'a> {
    pub(crate) fn read(key: &EntryKey, bytes: &'a [u8]) -> Result<Self, Damage> {
        let (prefix, rest) = bytes.split_at_checked(PREFIX).ok_or(Damage::Foreign)?;
        if prefix[..2] != MAGIC {
            return Err(Damage::Foreign);
        }
        if prefix[2] != FORMAT {
            return Err(Damage::Format(prefix[2]));
        }
        if prefix[3..] != checksum(key, rest).to_le_bytes() {
            return Err(Damage::Checksum);
        }
        let (header, packed) = postcard::take_from_bytes(rest).map_err(|_| Damage::Header)?;
        Ok(Self { header, text: &rest[..rest.len() - packed.len()], packed })
    }
}

impl Header<'_> {
    /// How the payload was packed.
    pub(crate) fn packed(&self) -> Packed {
        Packed { length: self.length, key: self.sealed_with }
    }

    /// Are these the tags that its readers ask for, in this order?
    #[cfg(feature = "cli")]
    pub(crate) fn asks_for<'t>(&self, tags: impl IntoIterator<Item = &'t TagKey>) -> bool {
        Shape::of(tags).0 == self.asked
    }
}

impl Decoded {
    /// Reads an entry, if it is one of ours for this key and these tags.
    pub(crate) fn read(question: &Question, bytes: &Bytes, packing: &Packing) -> Result<Self, Unfit> {
        let Question { key, tags: asked, shape, wrap, .. } = question;
        let Opened { header, text, packed: payload } = Opened::read(key, bytes)?;
        if header.asked != shape.0 {
            return Err(Unfit::Other);
        }
        if header.stamps.len() != asked.len() {
            return Err(Unfit::Unreadable);
        }
        let packed = header.packed();
        // Anybody who can write to the store can write one that is not encrypted.
        if wrap.encrypt != (packed.key != 0) {
            return Err(Unfit::Unreadable);
        }
        let payload = match packing.unpack(packed, key, text, payload).ok_or(Unfit::Unreadable)? {
            Cow::Borrowed(payload) => bytes.slice_ref(payload),
            Cow::Owned(payload) => payload.into(),
        };
        Ok(Self {
            kind: header.kind,
            until: header.until,
            outlives: header.outlives,
            took: Duration::from_micros(header.took),
            incarnation: u64::from_le_bytes(header.incarnation),
            stamps: header.stamps.iter().map(|s| u64::from_le_bytes(*s)).collect(),
            more: header
                .more
                .iter()
                .map(|(tag, stamp)| (TagKey::from_full(*tag), u64::from_le_bytes(*stamp)))
                .collect(),
            payload,
        })
    }

    /// Do all asked tags still carry the recorded stamps, in the same life of the store?
    pub(crate) fn holds(&self, incarnation: u64, found: &[TagState]) -> bool {
        rules::holds(self.incarnation, &self.stamps, incarnation, found)
    }

    /// How long its time has been over; `None` while it is not.
    /// A load of it anew is known by when that was.
    pub(crate) fn late_by(&self, now: SystemTime) -> Option<(Duration, u64)> {
        let now = since_1970(now);
        (self.outlives && now >= self.until).then(|| (Duration::from_millis(now - self.until), self.until))
    }

    /// Is it to be loaded anew before its time is over? That load is known by when it would be.
    pub(crate) fn is_due(&self, early: Option<Early>, now: SystemTime) -> Option<u64> {
        early?.is_due(self.took, self.left(now)).then_some(self.until)
    }

    /// How far from its end it is loaded anew.
    pub(crate) fn reach(&self, early: Option<Early>) -> Reach {
        early.map(|early| early.reach(self.took)).unwrap_or_default()
    }

    /// How much of its time is left, by the clock of whoever filled it.
    pub(crate) fn left(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.until.saturating_sub(since_1970(now)))
    }

    /// The tags that it depends on, with their stamps, if `asked` are those that it was read with.
    pub(crate) fn depends(&self, asked: &[TagKey]) -> Vec<(TagKey, Stamp)> {
        let asked = asked.iter().zip(&self.stamps).map(|(tag, stamp)| (tag, *stamp));
        let more = self.more.iter().map(|(tag, stamp)| (tag, *stamp));
        asked.chain(more).filter_map(|(tag, stamp)| Some((tag.clone(), Stamp::from_number(stamp)?))).collect()
    }

    /// The further tags that have to be looked at before the entry may be served.
    pub(crate) fn more(&self) -> impl ExactSizeIterator<Item = &TagKey> {
        self.more.iter().map(|(tag, _)| tag)
    }

    /// Do the further tags, in the order of [`Self::more`], still carry the recorded stamps?
    pub(crate) fn more_hold(&self, mut now: impl FnMut(&TagKey) -> Option<TagState>) -> bool {
        self.more.iter().all(|(tag, recorded)| now(tag).is_some_and(|state| rules::stands(*recorded, state)))
    }
}

/// Milliseconds since 1970.
pub(crate) fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Which tags the readers of a key ask for, in which order: a hash. An entry that was made under other
/// tags is not read, for a stamp that it does not depend on says nothing of which tag it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape([u8; 8]);

impl Shape {
    pub(crate) fn of<'a>(asked: impl IntoIterator<Item = &'a TagKey>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for tag in asked {
            hasher.update(tag.as_str().as_bytes());
            hasher.update(&[0]);
        }
        let mut out = [0; 8];
        out.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(out)
    }
}

pub(super) fn checksum(key: &EntryKey, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_str().as_bytes());
    hasher.update(rest);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_IT_IS: Wrap = Wrap { compress_above: usize::MAX, encrypt: false };

    fn packing() -> Packing {
        Packing { limit: 1 << 20, keys: None }
    }

    fn read(key: &EntryKey, asked: &[TagKey], bytes: &Bytes) -> Option<Decoded> {
        let question = Question::for_tests(key.clone(), asked.to_vec(), AS_IT_IS);
        Decoded::read(&question, bytes, &packing()).ok()
    }

    fn tag(name: &str) -> TagKey {
        TagKey::from_full(name)
    }

    fn sample() -> (EntryKey, Vec<TagKey>, Vec<Option<Stamp>>, Bytes) {
        let key = EntryKey::from_full("ns:row:book:7@0");
        let asked = vec![tag("ns:t"), tag("ns:t:book:*"), tag("ns:t:book")];
        let stamps = vec![Some(Stamp::fresh()), Some(Stamp::fresh()), None];
        let more = [(tag("ns:u:publisher%3A3"), Stamp::fresh())];
        let entry = Entry {
            kind: PayloadKind::Rows,
            until: 5,
            outlives: false,
            took: Duration::ZERO,
            incarnation: 7,
            shape: Shape::of(&asked),
            stamps: &stamps,
            more: &more,
            payload: b"row",
            wrap: AS_IT_IS,
        };
        let bytes = entry.encode(&key, &packing()).unwrap();
        (key, asked, stamps, bytes)
    }

    fn states(stamps: &[Option<Stamp>]) -> Vec<TagState> {
        stamps.iter().map(|s| s.map_or(TagState::Absent, TagState::Stamp)).collect()
    }

    #[test]
    fn an_entry_is_valid_only_while_every_tag_it_depends_on_keeps_its_stamp() {
        let (key, asked, stamps, bytes) = sample();
        let entry = read(&key, &asked, &bytes).unwrap();
        assert_eq!(&entry.payload[..], b"row");
        let now = states(&stamps);
        assert!(entry.holds(7, &now));
        // case C5
        assert!(!entry.holds(8, &now), "another life of the store");
        for dependent in 0..2 {
            for other in [TagState::Absent, TagState::Barrier, TagState::Stamp(Stamp::fresh())] {
                let mut changed = now.clone();
                changed[dependent] = other;
                assert!(!entry.holds(7, &changed));
            }
        }
        let mut changed = now;
        changed[2] = TagState::Stamp(Stamp::fresh());
        assert!(entry.holds(7, &changed), "the third tag is one it does not depend on");
    }

    // case F6
    #[test]
    fn entries_of_every_released_format_are_read_or_are_misses() {
        let key = EntryKey::from_full("ns:row:book:7@0");
        let asked = [tag("ns:t"), tag("ns:t:book:*"), tag("ns:t:book")];
        let stamps = [Stamp::from_number(1), Stamp::from_number(2), None];
        let more = [(tag("ns:u:x"), Stamp::from_number(3).unwrap())];
        let entry = Entry {
            kind: PayloadKind::Rows,
            until: 5,
            outlives: false,
            took: Duration::ZERO,
            incarnation: 7,
            shape: Shape::of(&asked),
            stamps: &stamps,
            more: &more,
            payload: b"row",
            wrap: AS_IT_IS,
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        // What format 4 writes. Should this change, raise FORMAT and keep the old text as one that is
        // a miss.
        assert_eq!(
            hex(&entry.encode(&key, &packing()).unwrap()),
            "5343046031d43d01070000000000000088680accf40bd19c05000000000301000000000000000200000000000000000000000000000001066e733a753a780300000000000000726f77"
        );
        // Formats 1, 2 and 3.
        for old in [
            "534301f616700701070000000000000088680accf40bd19c000301000000000000000200000000000000000000000000000001066e733a753a780300000000000000726f77",
            "53430228e93e6c01070000000000000088680accf40bd19c05000301000000000000000200000000000000000000000000000001066e733a753a780300000000000000726f77",
            "53430378e7f57301070000000000000088680accf40bd19c050000000301000000000000000200000000000000000000000000000001066e733a753a780300000000000000726f77",
        ] {
            let bytes = |at| u8::from_str_radix(&old[at..at + 2], 16).unwrap();
            let old: Vec<u8> = (0..old.len()).step_by(2).map(bytes).collect();
            assert!(read(&key, &asked, &old.into()).is_none());
        }
    }

    // case F7
    #[test]
    fn a_damaged_or_foreign_entry_is_not_an_entry() {
        let (key, asked, _, bytes) = sample();
        for cut in 0..bytes.len() {
            assert!(read(&key, &asked, &bytes.slice(..cut)).is_none(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&key, &asked, &damaged.into()).is_none(), "bit {bit}");
        }
        let elsewhere = EntryKey::from_full("ns:row:book:8@0");
        assert!(read(&elsewhere, &asked, &bytes).is_none(), "copied under another key");
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(read(&key, &asked, &longer.into()).is_none());
    }

    // case F9
    #[test]
    fn an_entry_made_under_other_tags_is_a_miss() {
        let (key, mut asked, _, bytes) = sample();
        asked.push(tag("ns:g:catalog"));
        assert!(read(&key, &asked, &bytes).is_none());
        asked.truncate(2);
        assert!(read(&key, &asked, &bytes).is_none());
    }
}
