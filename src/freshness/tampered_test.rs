//! What somebody who can write to the store can make a reader do: miss. Never panic, never read what
//! it is not, never take more memory than an entry may.

use bytes::Bytes;

use super::{
    Decoded, Entry, Packing, PayloadKind, Question, Shape, Unfit, Wrap,
    entry::{Header, Opened, PREFIX, checksum},
};
use crate::{
    entity::RowReader,
    store::{EntryKey, Stamp, TagKey},
};

/// The most bytes of a payload.
const LIMIT: usize = 4096;
/// Payloads of each kind.
const TRIES: usize = 12_000;
/// What an entry's lists of stamps and tags may take in memory, for each byte that they take in the store:
/// a count is believed as far as there are bytes behind it.
const SPREAD: usize = 40;
const AS_IT_IS: Wrap = Wrap { compress_above: usize::MAX, encrypt: false };

fn packing() -> Packing {
    Packing { limit: LIMIT, keys: None }
}

/// A number from a chain of hashes.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        let mut half = [0; 8];
        half.copy_from_slice(&blake3::hash(&self.0.to_le_bytes()).as_bytes()[..8]);
        self.0 = u64::from_le_bytes(half);
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let size = self.below(most);
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(size).collect()
    }
}

/// An entry, and the question that it answers.
struct Made {
    key: EntryKey,
    question: Question,
    small: Vec<u8>,
    large: Vec<u8>,
}

fn entry(key: &EntryKey, asked: &[TagKey], payload: &[u8], more: usize, packing: &Packing) -> Vec<u8> {
    let stamps: Vec<_> = asked.iter().map(|_| Some(Stamp::fresh())).collect();
    let more: Vec<_> =
        (0..more).map(|number| (TagKey::from_full(format!("ns:u:{number}")), Stamp::fresh())).collect();
    let entry = Entry {
        kind: PayloadKind::Custom,
        until: 5,
        outlives: false,
        took: std::time::Duration::from_millis(3),
        incarnation: 7,
        shape: Shape::of(asked),
        stamps: &stamps,
        more: &more,
        payload,
        wrap: Wrap { compress_above: 100, encrypt: false },
    };
    entry.encode(key, packing).unwrap().to_vec()
}

fn made() -> Made {
    let key = EntryKey::from_full("ns:row:book:7@0");
    let asked: Vec<_> = ["ns:t", "ns:t:book:*", "ns:t:book"].map(TagKey::from_full).into();
    let small = entry(&key, &asked, b"row", 1, &packing());
    let large = entry(&key, &asked, &[b'x'; LIMIT], 20, &packing());
    let question = Question::for_tests(key.clone(), asked, AS_IT_IS);
    Made { key, question, small, large }
}

impl Made {
    fn any(&self, draw: &mut Draw) -> Vec<u8> {
        if draw.below(2) == 0 { self.small.clone() } else { self.large.clone() }
    }

    /// As somebody signs it who knows how entries are made.
    fn sign(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&self.key, &bytes[PREFIX..]);
        bytes[PREFIX - 4..PREFIX].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The same entry with another header.
    fn with_header(&self, bytes: &[u8], change: impl FnOnce(&mut Header<'_>)) -> Vec<u8> {
        let mut opened = Opened::read(&self.key, bytes).unwrap();
        change(&mut opened.header);
        let out = postcard::to_extend(&opened.header, bytes[..PREFIX].to_vec()).unwrap();
        self.sign([&out[..], opened.packed].concat())
    }
}

/// How entries are tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CutOff,
    Longer,
    Flipped,
    Foreign,
    OfAnotherKey,
    Oversized,
    Bomb,
    ForgedLength,
    ForgedLists,
    ForgedBytes,
}

const KINDS: [Kind; 10] = [
    Kind::CutOff,
    Kind::Longer,
    Kind::Flipped,
    Kind::Foreign,
    Kind::OfAnotherKey,
    Kind::Oversized,
    Kind::Bomb,
    Kind::ForgedLength,
    Kind::ForgedLists,
    Kind::ForgedBytes,
];

impl Kind {
    /// May it be an entry all the same? Whoever knows how entries are made can make one.
    fn may_be_read(self) -> bool {
        matches!(self, Self::ForgedLength | Self::ForgedBytes)
    }

    fn tamper(self, made: &Made, draw: &mut Draw) -> Vec<u8> {
        let mut bytes = made.any(draw);
        match self {
            Self::CutOff => bytes.truncate(draw.below(bytes.len())),
            Self::Longer => {
                bytes.push(draw.next() as u8);
                bytes.extend(draw.bytes(300));
            }
            Self::Flipped => {
                let at = draw.below(bytes.len());
                bytes[at] ^= 1 << draw.below(8);
            }
            Self::Foreign => bytes = draw.bytes(200),
            Self::OfAnotherKey => {
                let key = EntryKey::from_full(format!("ns:row:book:{}@0", 8 + draw.below(1000)));
                bytes = entry(&key, &made.question.tags, b"row", 1, &packing());
            }
            Self::Oversized => {
                let payload: Vec<u8> = vec![draw.next() as u8; LIMIT + 1 + draw.below(LIMIT)];
                bytes = [&made.with_header(&made.small, |_| {})[..], &payload].concat();
                bytes = made.sign(bytes);
            }
            Self::Bomb => {
                // A few KiB that become megabytes.
                let wide = Packing { limit: usize::MAX, keys: None };
                let payload = vec![b'x'; (1 << 20) + draw.below(1 << 20)];
                bytes = entry(&made.key, &made.question.tags, &payload, 0, &wide);
            }
            Self::ForgedLength => {
                let length = match draw.below(3) {
                    0 => draw.next(),
                    1 => draw.next() % (2 * LIMIT as u64),
                    _ => u64::MAX >> draw.below(64),
                };
                bytes = made.with_header(&bytes, |header| header.length = length);
            }
            Self::ForgedLists => {
                // A count of stamps that nothing is behind.
                let header = made.with_header(&bytes, |header| {
                    header.stamps.clear();
                    header.more.clear();
                });
                let opened = Opened::read(&made.key, &header).unwrap();
                let end = PREFIX + opened.text.len();
                let count = postcard::to_allocvec(&(u64::MAX >> draw.below(60))).unwrap();
                let at = end - 1 - draw.below(2);
                bytes = made.sign([&header[..at], &count, &draw.bytes(100)].concat());
            }
            Self::ForgedBytes => {
                for _ in 0..=draw.below(4) {
                    let at = draw.below(bytes.len()).max(PREFIX);
                    bytes[at] = draw.next() as u8;
                }
                bytes = made.sign(bytes);
            }
        }
        bytes
    }

    /// Payloads of this kind. To make a bomb takes longer than to defuse it.
    fn tries(self) -> usize {
        if self == Self::Bomb { 100 } else { TRIES }
    }
}

// case F7, F12
#[test]
fn tampered_entries_of_every_kind_are_misses_and_take_no_more_memory_than_an_entry_may() {
    let (made, packing, mut draw) = (made(), packing(), Draw(1));
    for bytes in [&made.small, &made.large] {
        assert!(Decoded::read(&made.question, &bytes.clone().into(), &packing).is_ok());
    }
    for kind in KINDS {
        let (mut read, mut other, mut highest, mut least_room) = (0, 0, 0, usize::MAX);
        for _ in 0..kind.tries() {
            let bytes: Bytes = kind.tamper(&made, &mut draw).into();
            let mut result = Err(Unfit::Other);
            let took = allocation_counter::measure(|| {
                result = Decoded::read(&made.question, &bytes, &packing);
                if let Ok(entry) = &result {
                    let mut reader = RowReader::new(&entry.payload);
                    let _ = reader.custom::<Vec<String>>();
                }
            });
            let (took, room) = (took.bytes_max as usize, LIMIT + SPREAD * bytes.len());
            assert!(took <= room, "{kind:?}: {took} bytes for {} of {bytes:02x?}", bytes.len());
            highest = highest.max(took);
            least_room = least_room.min(room - took);
            match result {
                Ok(entry) => {
                    assert!(kind.may_be_read(), "{kind:?}: {bytes:02x?}");
                    assert!(entry.payload.len() <= LIMIT);
                    read += 1;
                }
                Err(Unfit::Other) => other += 1,
                Err(Unfit::Unreadable) => {}
            }
        }
        let tries = kind.tries();
        #[allow(clippy::print_stdout, reason = "the figures are for people")]
        {
            println!(
                "{kind:?}: {tries} payloads, {read} read, {other} of another format or shape, \
                 {highest} bytes allocated at most (limit of a payload: {LIMIT}), room left {least_room}"
            );
        }
        assert!(read + other < tries, "{kind:?}: none was unreadable");
    }
}
