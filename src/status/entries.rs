//! How much is stored, by table. It walks through the store's keys, so it is asked for by hand.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Problem, Shared, actions::bounded};
use crate::{Cache, CacheError, store::EntryKey};

/// Keys that are looked at.
const KEYS: usize = 100_000;
/// Keys that are dropped at a time.
const CHUNK: usize = 1000;

#[derive(Serialize)]
pub(super) struct Entries {
    tables: Vec<Stored>,
    /// There were more keys than are looked at.
    truncated: bool,
}

/// What is stored of one table, valid or not.
#[derive(Serialize)]
struct Stored {
    table: String,
    rows: u64,
    answers: u64,
}

pub(super) async fn entries(State(shared): State<Arc<Shared>>) -> Result<Json<Entries>, Problem> {
    let cache = &shared.cache;
    let keys = bounded(cache.keys(KEYS)).await?;
    let prefix = cache.inner.keys.prefix();
    let mut tables: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for entry in keys.iter().filter_map(|key| Entry::of(key.strip_prefix(&prefix)?)) {
        let counts = tables.entry(entry.table).or_default();
        match entry.is_row {
            true => counts.0 += 1,
            false => counts.1 += 1,
        }
    }
    let tables = tables.into_iter().map(|(table, (rows, answers))| Stored { table, rows, answers });
    Ok(Json(Entries { tables: tables.collect(), truncated: keys.len() == KEYS }))
}

/// Takes the entries of a table out of the store; says how many there were.
pub(super) async fn drop_of(cache: &Cache, table: &str) -> Result<u64, CacheError> {
    let prefix = cache.inner.keys.prefix();
    let of_table = |key: &String| {
        key.strip_prefix(&prefix).and_then(Entry::of).is_some_and(|entry| entry.table == table)
    };
    let keys = cache.keys(KEYS).await?.into_iter().filter(of_table).map(EntryKey::from_full);
    let mut dropped = 0;
    for chunk in keys.collect::<Vec<_>>().chunks(CHUNK) {
        dropped += cache.inner.freshness.store().delete(chunk).await?;
    }
    Ok(dropped)
}

/// What a key without its namespace is an entry of.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// As statistics name it.
    table: String,
    is_row: bool,
}

impl Entry {
    /// `None` for what is no entry.
    fn of(key: &str) -> Option<Self> {
        // A group stands before the kind.
        let key = match key.strip_prefix('@') {
            Some(grouped) => grouped.split_once(':')?.1,
            None => key,
        };
        let (kind, rest) = key.split_once(':')?;
        let table = || {
            let table = rest.split(':').next().unwrap_or(rest);
            // Behind the schema, if there is one.
            table.rsplit('/').next().unwrap_or(table).to_lowercase()
        };
        match kind {
            "row" => Some(Self { table: table(), is_row: true }),
            "q" => Some(Self { table: table(), is_row: false }),
            "e" => Some(Self { table: "(own)".to_owned(), is_row: false }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_known_by_its_key_and_nothing_else_is() {
        let entry = |table: &str, is_row| Some(Entry { table: table.to_owned(), is_row });
        for (key, expected) in [
            ("row:book:7@1f3a9c20", entry("book", true)),
            ("row:shop/Book:7@1f3a9c20", entry("book", true)),
            ("@catalog:row:shelf:1@1f3a9c20", entry("shelf", true)),
            ("q:book:00ff@1f3a9c20", entry("book", false)),
            ("@row:q:book:00ff@1f3a9c20", entry("book", false)),
            ("e:row%3Abook%3A7", entry("(own)", false)),
            ("t:book:7", None),
            ("i:book:shelf_id=3", None),
            ("l:warmup", None),
            ("t", None),
            ("~0011:4", None),
        ] {
            assert_eq!(Entry::of(key), expected, "{key}");
        }
    }
}
