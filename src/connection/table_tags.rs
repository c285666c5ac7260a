//! The tags of one table: as they were written once for its entities, or made now.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    cache::{Inner, Rows},
    entity::{KeyText, TablePolicy},
    keys::Keyspace,
    store::{EntryKey, TagKey},
};

pub(super) struct TableTags<'a> {
    /// Of the table's entities, all with the same tags.
    rows: SmallVec<[Arc<Rows>; 2]>,
    keys: &'a Keyspace,
    folded: &'a str,
}

impl Inner {
    pub(super) fn tags_of<'a>(&'a self, policy: Option<&TablePolicy>, folded: &'a str) -> TableTags<'a> {
        let entities = policy.iter().flat_map(|policy| &policy.entities);
        TableTags { rows: entities.map(|entity| self.rows(entity)).collect(), keys: &self.keys, folded }
    }
}

impl TableTags<'_> {
    pub(super) fn table(&self) -> TagKey {
        self.rows.first().map_or_else(|| self.keys.table(self.folded), |rows| rows.keys.table.clone())
    }

    pub(super) fn any_row(&self) -> TagKey {
        self.rows.first().map_or_else(|| self.keys.any_row(self.folded), |rows| rows.keys.any_row.clone())
    }

    pub(super) fn odd_rows(&self) -> TagKey {
        self.rows.first().map_or_else(|| self.keys.odd_rows(self.folded), |rows| rows.keys.odd.clone())
    }

    pub(super) fn index(&self) -> TagKey {
        self.rows.first().map_or_else(|| self.keys.index(self.folded), |rows| rows.keys.index.clone())
    }

    pub(super) fn row(&self, key: Vec<(&str, KeyText)>) -> TagKey {
        match self.rows.first() {
            Some(rows) => rows.keys.tag(key),
            None => self.keys.row_tag(self.folded, key),
        }
    }

    /// The entries of one row, of each entity its own.
    pub(super) fn entries(&self, key: &[String]) -> impl Iterator<Item = EntryKey> {
        self.rows.iter().map(move |rows| rows.keys.entry(key))
    }
}
