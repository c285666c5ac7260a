//! Counters whose parts add up: hits + misses + bypasses = reads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{latency::LatencyStats, traffic::TrafficStats};
use crate::freshness::{Bypass, Outcome};

/// Tables with counters of their own; further ones are counted together under `(other)`, so that
/// a stream of distinct names cannot fill memory.
const TABLES: usize = 1000;
const OTHER: &str = "(other)";

/// What was counted for one table, or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Cached reads asked for. Always `hits + misses + bypasses`.
    pub reads: u64,
    /// Answered from the store, or from memory.
    pub hits: u64,
    /// Hits whose answer was in this process's memory: the store was asked for nothing, or for the
    /// stamps alone.
    pub near: u64,
    /// Answered by the database, because no valid entry was there. Includes `joined`.
    pub misses: u64,
    /// Misses answered by the load of another task that asked for the same at the same time.
    pub joined: u64,
    /// Answered by the database, without looking or without storing: switched off, inside a
    /// transaction, not cacheable, store away, a write in flight.
    pub bypasses: u64,
    /// Of the bypasses, those because the store was away or took no stamp.
    pub store_away: u64,
    /// Writes to the table that purged.
    pub writes: u64,
}

impl TableStats {
    /// Hits per read, 0 to 1; `None` before the first read.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate, not a count")]
    pub fn hit_rate(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.hits as f64 / self.reads as f64)
    }
}

/// A snapshot of the counters since the cache was built or reset.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Over all tables and the application's own entries.
    pub total: TableStats,
    /// By table name, lower case. The application's own entries are under `(own)`.
    pub tables: BTreeMap<String, TableStats>,
    /// Statements that were not understood and purged the whole namespace.
    pub namespace_purges: u64,
    /// Purges that could not be delivered at the first attempt, and were queued.
    pub delayed_purges: u64,
    /// Tags whose purge waits to be delivered now.
    pub undelivered_tags: u64,
    /// Writes that went on without a barrier, because the store did not take it.
    pub unguarded_writes: u64,
    /// Barriers that were gone while their write was under way: evicted, or lost with the store.
    pub lapsed_barriers: u64,
    /// Hits that were held against the database.
    pub verified_hits: u64,
    /// Of those, hits that differed from it although no write explains it. Should stay zero for ever.
    pub stale_hits: u64,
    /// Entries that were loaded anew before their time was over, while their readers were served; see
    /// [`CachedSelect::refresh_early`](crate::CachedSelect::refresh_early). They are not among the reads.
    pub refreshed_early: u64,
    /// Such loads that failed. The entries stay what they were.
    pub refreshes_failed: u64,
    /// Answers in this process's memory now, see [`CacheBuilder::near`](crate::CacheBuilder::near).
    pub near_answers: u64,
    /// About how many bytes they take.
    pub near_bytes: u64,
    /// Values that were not stored because they are too large or would not come back as they were.
    pub not_stored: u64,
    /// Entries that were handed to the store.
    pub stored_entries: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Entries in the store that could not be read, each time that one was asked for: cut off, changed,
    /// forged, encrypted with a key that is not known, or a value of another type. They were misses. Those
    /// of another release are not among them.
    pub unreadable: u64,
    /// Purges of writes: one for each statement or transaction that made something wrong.
    pub purges: u64,
    /// Purges that somebody asked for, by one of the `invalidate` methods.
    pub invalidations: u64,
    /// Reads and purges that the store did not do.
    pub store_errors: u64,
    /// How long the store took to answer reads. Answers from memory are not among them.
    pub store_reads: LatencyStats,
    /// How long the store took to purge.
    pub store_purges: LatencyStats,
}

impl CacheStats {
    pub(crate) fn add(&mut self, traffic: TrafficStats) {
        let TrafficStats { reads, purges, errors, purged, by_hand, stored_entries, stored_bytes, unreadable } =
            traffic;
        self.unreadable = unreadable;
        (self.store_reads, self.store_purges, self.store_errors) = (reads, purges, errors);
        (self.purges, self.invalidations) = (purged, by_hand);
        (self.stored_entries, self.stored_bytes) = (stored_entries, stored_bytes);
    }
}

/// The live counters of one table.
#[derive(Debug, Default)]
pub(crate) struct TableCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    near: AtomicU64,
    bypasses: AtomicU64,
    store_away: AtomicU64,
    pub(crate) writes: AtomicU64,
}

/// All live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    // A std lock: held for a map look-up, never across an await.
    tables: RwLock<HashMap<Box<str>, Arc<TableCounters>, quick_cache::DefaultHashBuilder>>,
    pub(crate) namespace_purges: AtomicU64,
    pub(crate) not_stored: AtomicU64,
}

impl TableCounters {
    pub(crate) fn count(&self, outcome: Outcome) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match outcome {
            Outcome::Hit => add(&self.hits),
            Outcome::Near => add(&self.near),
            Outcome::Miss => add(&self.misses),
            Outcome::Joined => {
                add(&self.misses);
                add(&self.joined);
            }
            Outcome::Bypass(reason) => {
                add(&self.bypasses);
                if matches!(reason, Bypass::StoreAway | Bypass::NoStamp) {
                    add(&self.store_away);
                }
            }
        }
    }

    fn reset(&self) {
        let Self { hits, misses, joined, near, bypasses, store_away, writes } = self;
        for counter in [hits, misses, joined, near, bypasses, store_away, writes] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn snapshot(&self) -> TableStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let near = get(&self.near);
        // Those from memory are counted once.
        let (hits, misses, bypasses) = (get(&self.hits) + near, get(&self.misses), get(&self.bypasses));
        TableStats {
            reads: hits + misses + bypasses,
            hits,
            near,
            misses,
            joined: get(&self.joined),
            bypasses,
            store_away: get(&self.store_away),
            writes: get(&self.writes),
        }
    }
}

impl Counters {
    /// The counters of a table, by its folded name.
    pub(crate) fn table(&self, folded: &str) -> Arc<TableCounters> {
        let tables = self.tables.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(there) = tables.get(folded) {
            return there.clone();
        }
        drop(tables);
        let mut tables = self.tables.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let name = if tables.len() < TABLES { folded } else { OTHER };
        tables.entry(name.into()).or_default().clone()
    }

    pub(crate) fn snapshot(&self) -> CacheStats {
        let tables: BTreeMap<String, TableStats> = self
            .tables
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .iter()
            .map(|(name, counters)| (name.to_string(), counters.snapshot()))
            .filter(|(_, counted)| *counted != TableStats::default())
            .collect();
        let mut total = TableStats::default();
        for table in tables.values() {
            total.reads += table.reads;
            total.hits += table.hits;
            total.near += table.near;
            total.misses += table.misses;
            total.joined += table.joined;
            total.bypasses += table.bypasses;
            total.store_away += table.store_away;
            total.writes += table.writes;
        }
        CacheStats {
            total,
            tables,
            namespace_purges: self.namespace_purges.load(Ordering::Relaxed),
            not_stored: self.not_stored.load(Ordering::Relaxed),
            ..CacheStats::default()
        }
    }

    pub(crate) fn reset(&self) {
        // In their places: what is in memory counts without looking its table up.
        let tables = self.tables.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        tables.values().for_each(|counters| counters.reset());
        drop(tables);
        self.namespace_purges.store(0, Ordering::Relaxed);
        self.not_stored.store(0, Ordering::Relaxed);
    }
}
