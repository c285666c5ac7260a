//! The last purges, for an operator who asks what happened just now: tables and numbers, no keys and
//! no values.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use crate::freshness::PurgeSet;

/// Purges that are remembered.
const PURGES: usize = 200;
/// Tables of one purge that are named.
const TABLES: usize = 16;

/// How much of a table was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PurgedScope {
    /// Lists, counts and joins alone.
    Lists,
    /// So many rows, and the lists.
    Rows(usize),
    /// Everything that was read from it.
    Table,
}

/// What one purge did to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgedTable {
    /// Its name, as it stands in keys.
    pub table: String,
    /// How much of it.
    pub scope: PurgedScope,
}

/// One purge of this process, see [`Cache::recent_purges`](crate::Cache::recent_purges).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentPurge {
    /// When.
    pub at: SystemTime,
    /// By one of the `invalidate` methods, and not by a write.
    pub by_hand: bool,
    /// The store did not take it at once.
    pub queued: bool,
    /// Everything in the namespace.
    pub everything: bool,
    /// Tables, sixteen at most.
    pub tables: Vec<PurgedTable>,
    /// How many further tables.
    pub more_tables: usize,
    /// How many tags of the application's own, and groups.
    pub tags: usize,
}

impl RecentPurge {
    pub(super) fn of(set: &PurgeSet, at: SystemTime, by_hand: bool, queued: bool) -> Self {
        let mut purge =
            Self { at, by_hand, queued, everything: false, tables: Vec::new(), more_tables: 0, tags: 0 };
        // Tags are in order, so those of a table are mostly neighbours.
        let mut last = None;
        for tag in &set.tags {
            // Behind the namespace, which is written without a colon.
            let (_, Some(rest)) = at_colon(tag.as_str()) else { continue };
            let (kind, rest) = at_colon(rest);
            let (table, what) = rest.map_or((None, None), |rest| {
                let (table, what) = at_colon(rest);
                (Some(table), what)
            });
            match (kind, table, what) {
                ("t", None, _) => purge.everything = true,
                (kind @ ("t" | "i"), Some(table), what) => {
                    let at = match last {
                        Some((known, at)) if known == table => at,
                        _ => purge.place_of(table),
                    };
                    last = Some((table, at));
                    let Some(at) = at else { continue };
                    let scope = &mut purge.tables[at].scope;
                    *scope = match (kind, what, *scope) {
                        ("t", Some("*"), _) | (_, _, PurgedScope::Table) => PurgedScope::Table,
                        ("t", Some(_), PurgedScope::Rows(rows)) => PurgedScope::Rows(rows + 1),
                        ("t", Some(_), PurgedScope::Lists) => PurgedScope::Rows(1),
                        (_, _, before) => before,
                    };
                }
                ("u" | "g", Some(_), _) => purge.tags += 1,
                _ => {}
            }
        }
        purge
    }

    fn place_of(&mut self, table: &str) -> Option<usize> {
        if let Some(at) = self.tables.iter().position(|there| there.table == table) {
            return Some(at);
        }
        if self.tables.len() == TABLES {
            self.more_tables += 1;
            return None;
        }
        self.tables.push(PurgedTable { table: table.to_owned(), scope: PurgedScope::Lists });
        Some(self.tables.len() - 1)
    }
}

/// What stands before the first colon, and what behind it. Keys are short, and each write has some.
fn at_colon(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b':') {
        Some(at) => (&text[..at], text.get(at + 1..)),
        None => (text, None),
    }
}

/// The last purges, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PurgeFeed {
    // A std lock: held for a push or a copy, never across an await.
    recent: Mutex<VecDeque<RecentPurge>>,
}

impl PurgeFeed {
    pub(super) fn push(&self, purge: RecentPurge) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == PURGES {
            recent.pop_front();
        }
        recent.push_back(purge);
    }

    pub(super) fn newest_first(&self) -> Vec<RecentPurge> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TagKey;

    fn of(tags: &[&str]) -> RecentPurge {
        let tags = tags.iter().map(|tag| TagKey::from_full(format!("shop:{tag}"))).collect();
        RecentPurge::of(&PurgeSet { tags, ..PurgeSet::default() }, SystemTime::now(), false, false)
    }

    fn tables(purge: &RecentPurge) -> Vec<(&str, PurgedScope)> {
        purge.tables.iter().map(|there| (there.table.as_str(), there.scope)).collect()
    }

    #[test]
    fn a_purge_is_told_by_tables_and_numbers_alone() {
        let one =
            of(&["t:book", "t:book:7", "t:book:8", "i:book:shelf_id=3", "u:publisher%3A1", "u", "g:catalog"]);
        assert_eq!(tables(&one), [("book", PurgedScope::Rows(2))]);
        assert_eq!((one.tags, one.everything), (2, false));
        assert_eq!(tables(&of(&["t:book", "t:book:*", "t:book:7"])), [("book", PurgedScope::Table)]);
        let two = of(&["t:book", "t:book-club", "t:book-club:1", "t:book:1"]);
        assert_eq!(tables(&two), [("book", PurgedScope::Rows(1)), ("book-club", PurgedScope::Rows(1))]);
        assert_eq!(tables(&of(&["t:book"])), [("book", PurgedScope::Lists)]);
        assert!(of(&["t"]).everything);
    }

    #[test]
    fn no_more_is_remembered_than_is_said() {
        let names: Vec<_> = (0..40).map(|at| format!("t:table{at}")).collect();
        let many = of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((many.tables.len(), many.more_tables), (TABLES, 24));
        let feed = PurgeFeed::default();
        for rows in 0..PURGES + 50 {
            let mut purge = of(&["t:book"]);
            purge.tags = rows;
            feed.push(purge);
        }
        let recent = feed.newest_first();
        assert_eq!((recent.len(), recent[0].tags), (PURGES, PURGES + 49));
    }
}
