//! What was counted lately: advice on a process that has run for weeks is about the last minutes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{CacheStats, LatencyStats, TableStats};

/// Advice is about so long, if it is asked for that often.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Snapshots are kept so far apart.
const SPACING: Duration = Duration::from_secs(60);

/// Snapshots from when advice was asked for, the oldest first: one from before the window, the others
/// from within.
#[derive(Debug, Default)]
pub(super) struct Recent {
    snapshots: VecDeque<(Instant, CacheStats)>,
}

impl Recent {
    /// What was counted lately; since the start or the last reset, if nobody asked for so long.
    pub(super) fn since(&mut self, now: Instant, stats: &CacheStats) -> CacheStats {
        let age = |at: Instant| now.saturating_duration_since(at);
        // One that has counted more is from before a reset.
        if self.snapshots.back().is_some_and(|(_, last)| last.total.reads > stats.total.reads) {
            self.snapshots.clear();
        }
        while self.snapshots.get(1).is_some_and(|(at, _)| age(*at) >= WINDOW) {
            self.snapshots.pop_front();
        }
        if self.snapshots.back().is_none_or(|(at, _)| age(*at) >= SPACING) {
            self.snapshots.push_back((now, stats.clone()));
        }
        match self.snapshots.front() {
            Some((at, earlier)) if age(*at) >= WINDOW => less(stats, earlier),
            _ => stats.clone(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.snapshots.clear();
    }
}

/// What advice is made of, without what was counted earlier. What is now, and what should never have
/// been, stays as it is.
fn less(now: &CacheStats, earlier: &CacheStats) -> CacheStats {
    let none = TableStats::default();
    let table = |(name, counts): (&String, &TableStats)| {
        (name.clone(), less_of_table(counts, earlier.tables.get(name).unwrap_or(&none)))
    };
    CacheStats {
        total: less_of_table(&now.total, &earlier.total),
        tables: now.tables.iter().map(table).collect(),
        namespace_purges: now.namespace_purges.saturating_sub(earlier.namespace_purges),
        unguarded_writes: now.unguarded_writes.saturating_sub(earlier.unguarded_writes),
        lapsed_barriers: now.lapsed_barriers.saturating_sub(earlier.lapsed_barriers),
        not_stored: now.not_stored.saturating_sub(earlier.not_stored),
        stored_entries: now.stored_entries.saturating_sub(earlier.stored_entries),
        stored_bytes: now.stored_bytes.saturating_sub(earlier.stored_bytes),
        unreadable: now.unreadable.saturating_sub(earlier.unreadable),
        store_reads: LatencyStats {
            count: now.store_reads.count.saturating_sub(earlier.store_reads.count),
            total: now.store_reads.total.saturating_sub(earlier.store_reads.total),
            ..now.store_reads
        },
        ..now.clone()
    }
}

fn less_of_table(now: &TableStats, earlier: &TableStats) -> TableStats {
    TableStats {
        reads: now.reads.saturating_sub(earlier.reads),
        hits: now.hits.saturating_sub(earlier.hits),
        near: now.near.saturating_sub(earlier.near),
        misses: now.misses.saturating_sub(earlier.misses),
        joined: now.joined.saturating_sub(earlier.joined),
        bypasses: now.bypasses.saturating_sub(earlier.bypasses),
        store_away: now.store_away.saturating_sub(earlier.store_away),
        writes: now.writes.saturating_sub(earlier.writes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(reads: u64, hits: u64, stale_hits: u64) -> CacheStats {
        let counts = TableStats { reads, hits, misses: reads - hits, ..TableStats::default() };
        let tables = [("book".to_owned(), counts.clone())].into();
        CacheStats { total: counts, tables, stale_hits, ..CacheStats::default() }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_bad_hour_is_seen_in_a_process_that_had_a_good_week() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let week = recent.since(start, &counted(1_000_000, 990_000, 1));
        assert_eq!(week.total.reads, 1_000_000);
        let mut lately = CacheStats::default();
        for minute in 1..=60 {
            let now = counted(1_000_000 + u64::from(minute) * 100, 990_000, 1);
            lately = recent.since(start + MINUTE * minute, &now);
        }
        assert_eq!((lately.total.reads, lately.total.hits), (1500, 0));
        assert_eq!(lately.tables["book"], lately.total);
        assert_eq!(lately.stale_hits, 1, "what should never have been is not forgotten");
        assert!(recent.snapshots.len() <= 17, "{}", recent.snapshots.len());
    }

    #[test]
    fn who_asks_all_the_time_keeps_no_more_and_who_asks_seldom_is_told_what_has_come_since() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        for second in 0..3600 {
            recent.since(start + Duration::from_secs(second), &counted(second, 0, 0));
        }
        assert!(recent.snapshots.len() <= 17, "{}", recent.snapshots.len());
        let seldom = recent.since(start + MINUTE * 600, &counted(10_000, 0, 0));
        assert!((6300..=6500).contains(&seldom.total.reads), "{}", seldom.total.reads);
    }

    #[test]
    fn after_a_reset_all_there_is_is_new() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.since(start, &counted(5000, 0, 0));
        let after = recent.since(start + MINUTE * 20, &counted(7, 3, 0));
        assert_eq!((after.total.reads, after.total.hits), (7, 3));
        recent.forget();
        assert_eq!(recent.since(start + MINUTE * 40, &counted(9, 3, 0)).total.reads, 9);
    }
}
