//! An entry read from outside: its header, and its payload as far as that can be shown.

use std::{fmt, time::Duration};

use serde_json::Value;

use crate::{
    EncryptionKeys,
    entity::{CodecError, FORMAT, RowReader},
    freshness::{Damage, Opened, Packing, PayloadKind as Kind},
    store::{EntryKey, Stamp, TagKey},
};

/// The most bytes that a payload is unpacked to.
const LARGEST: usize = 256 << 20;

/// The header of an entry, and its payload as it was packed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InspectedEntry {
    /// The format of entries that it is written in.
    pub format: u8,
    /// What the payload is.
    pub kind: PayloadKind,
    /// When its time is over, in milliseconds since 1970, by the clock of whoever filled it.
    pub until: u64,
    /// Whether it is kept beyond that, for those who may be served it then.
    pub outlives: bool,
    /// How long its load took; zero if nobody wanted to know (see
    /// [`refresh_early`](crate::EntityPolicy::refresh_early)).
    pub took: Duration,
    /// The life of the store in which it was made; zero if the store did not tell.
    pub incarnation: u64,
    /// Bytes of the payload before it was compressed; `None` if it was not.
    pub uncompressed: Option<u64>,
    /// The number of the key that it is encrypted with.
    pub encrypted_with: Option<u32>,
    /// Bytes of the payload as it is stored.
    pub payload_bytes: usize,
    /// The stamps of the tags that every reader of the key asks for, in their order; `None` of one that
    /// it does not depend on. The entry holds their names as a hash only: see [`asks_for`](Self::asks_for).
    pub asked: Vec<Option<Stamp>>,
    /// Further tags, by name.
    pub named: Vec<(TagKey, Stamp)>,
    key: EntryKey,
    bytes: Vec<u8>,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadKind {
    /// "There is no such row."
    Missing,
    /// Rows, by column values.
    Rows,
    /// A value of the application's own type.
    Custom,
}

/// Why bytes are not an entry of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// They do not begin as entries do.
    Foreign,
    /// They are in another format, that of an older or newer release: readers of this one miss.
    Format(u8),
    /// They are cut off or changed, or were written under another key.
    Damaged,
    /// The payload is encrypted, and the key that it needs is not given.
    NoKey(u32),
    /// The payload cannot be unpacked, or is not what the header says.
    Payload,
}

/// A payload in a form that can be shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EntryContent {
    /// "There is no such row."
    Missing,
    /// The values of one row, in the order of the entity's columns.
    Row(Vec<Value>),
    /// Rows of as many columns each.
    Rows(Vec<Vec<Value>>),
    /// A value of the application's own type.
    Value(Value),
    /// So many bytes that only the application can take apart.
    Opaque(usize),
}

impl fmt::Display for PayloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Rows => "rows",
            Self::Custom => "value",
        })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not an entry of this crate"),
            Self::Format(format) => write!(f, "it is an entry of format {format}, not {FORMAT}"),
            Self::Damaged => f.write_str("it is damaged, or was copied from another key"),
            Self::NoKey(number) => write!(f, "it is encrypted with key {number}, which is not given"),
            Self::Payload => f.write_str("its payload cannot be unpacked"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl InspectedEntry {
    /// Reads what stands under an entry's key.
    ///
    /// # Errors
    /// It is no entry of this key that this release could serve.
    pub fn read(key: &EntryKey, bytes: &[u8]) -> Result<Self, Unreadable> {
        let Opened { header, packed, .. } = Opened::read(key, bytes).map_err(|damage| match damage {
            Damage::Foreign => Unreadable::Foreign,
            Damage::Format(format) => Unreadable::Format(format),
            Damage::Checksum | Damage::Header => Unreadable::Damaged,
        })?;
        let stamp = |bytes: &[u8; 8]| Stamp::from_number(u64::from_le_bytes(*bytes));
        Ok(Self {
            format: FORMAT,
            kind: match header.kind {
                Kind::Missing => PayloadKind::Missing,
                Kind::Rows => PayloadKind::Rows,
                Kind::Custom => PayloadKind::Custom,
            },
            until: header.until,
            outlives: header.outlives,
            took: Duration::from_micros(header.took),
            incarnation: u64::from_le_bytes(header.incarnation),
            uncompressed: (header.length != 0).then_some(header.length),
            encrypted_with: (header.sealed_with != 0).then_some(header.sealed_with),
            payload_bytes: packed.len(),
            asked: header.stamps.iter().map(stamp).collect(),
            named: header
                .more
                .iter()
                .filter_map(|(tag, bytes)| Some((TagKey::from_full(*tag), stamp(bytes)?)))
                .collect(),
            key: key.clone(),
            bytes: bytes.to_vec(),
        })
    }

    /// Are these the tags that readers of the key ask for, in this order?
    #[must_use]
    pub fn asks_for(&self, tags: &[TagKey]) -> bool {
        tags.len() == self.asked.len()
            && Opened::read(&self.key, &self.bytes).is_ok_and(|opened| opened.header.asks_for(tags))
    }

    /// How much of its time is left, by this machine's clock; `None` if it is over.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let now = crate::freshness::since_1970(std::time::SystemTime::now());
        self.until.checked_sub(now).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// The payload: unpacked, and taken apart as far as that goes without the application's types.
    ///
    /// # Errors
    /// It cannot be unpacked with these keys.
    pub fn content(&self, keys: Option<&EncryptionKeys>) -> Result<EntryContent, Unreadable> {
        let opened = Opened::read(&self.key, &self.bytes).map_err(|_| Unreadable::Damaged)?;
        if let (Some(number), None) = (self.encrypted_with, keys) {
            return Err(Unreadable::NoKey(number));
        }
        let packing = Packing { limit: LARGEST, keys: keys.cloned() };
        let payload = packing
            .unpack(opened.header.packed(), &self.key, opened.text, opened.packed)
            .ok_or(Unreadable::Payload)?;
        match self.kind {
            PayloadKind::Missing => Ok(EntryContent::Missing),
            PayloadKind::Rows => Ok(rows(&payload)),
            PayloadKind::Custom => Ok(custom(&payload)),
        }
    }
}

/// One row is its cells; many are their number and then their cells. Which it is, only the reader knows,
/// so whichever fits to the end; what fits both is taken for many.
fn rows(payload: &[u8]) -> EntryContent {
    fn cells(reader: &mut RowReader<'_>) -> Result<Vec<Value>, CodecError> {
        let mut cells = Vec::new();
        while reader.remaining() > 0 {
            cells.push(reader.shown()?);
        }
        Ok(cells)
    }
    let mut reader = RowReader::new(payload);
    let many = reader.plain::<u64>("a count").and_then(|count| Ok((count, cells(&mut reader)?)));
    if let Ok((count, cells)) = many {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 && cells.is_empty() {
            return EntryContent::Rows(Vec::new());
        }
        if count > 0 && !cells.is_empty() && cells.len().is_multiple_of(count) {
            let columns = cells.len() / count;
            return EntryContent::Rows(cells.chunks(columns).map(<[Value]>::to_vec).collect());
        }
    }
    match cells(&mut RowReader::new(payload)) {
        Ok(cells) => EntryContent::Row(cells),
        Err(_) => EntryContent::Opaque(payload.len()),
    }
}

fn custom(payload: &[u8]) -> EntryContent {
    let mut reader = RowReader::new(payload);
    match reader.custom::<Value>() {
        Ok(value) if reader.remaining() == 0 => EntryContent::Value(value),
        _ => EntryContent::Opaque(payload.len()),
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Value as Cell;
    use serde_json::json;

    use super::*;
    use crate::entity::RowWriter;

    fn payload(count: Option<u64>, cells: &[Cell]) -> Vec<u8> {
        let mut writer = RowWriter::default();
        count.iter().for_each(|count| writer.plain(count).unwrap());
        cells.iter().for_each(|cell| writer.value(cell).unwrap());
        writer.finish()
    }

    // feature D9
    #[test]
    fn rows_are_shown_by_their_cells() {
        let cells = [Cell::from(7_i64), Cell::from("Dune"), Cell::from(9_i64), Cell::String(None)];
        assert_eq!(
            rows(&payload(Some(2), &cells)),
            EntryContent::Rows(vec![vec![json!(7), json!("Dune")], vec![json!(9), json!(null)]])
        );
        assert_eq!(rows(&payload(None, &cells[..2])), EntryContent::Row(vec![json!(7), json!("Dune")]));
        assert_eq!(rows(&payload(Some(0), &[])), EntryContent::Rows(Vec::new()));
        assert_eq!(rows(&[0xff; 5]), EntryContent::Opaque(5));
    }
}
