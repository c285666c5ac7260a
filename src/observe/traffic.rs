//! What goes to the store and how it fares: counted where the store is asked, which takes a hundred
//! times as long as the counting. An answer from memory passes nothing of this.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Instant, SystemTime},
};

use super::{
    latency::{Latency, LatencyStats},
    purges::{PurgeFeed, RecentPurge},
};
use crate::{
    freshness::PurgeSet,
    store::{EntryWrite, StoreError},
};

/// One kind of question to the store.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) latency: Latency,
    errors: AtomicU64,
}

impl Asked {
    /// Does it, and counts how long it took, or that it failed.
    pub(crate) async fn timed<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let result = work.await;
        // What is refused at once, while the store is away, is no measure of how fast it is.
        match &result {
            Err(StoreError::Unreachable { .. } | StoreError::Config(_)) => {}
            _ => self.latency.record(start.elapsed()),
        }
        if result.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn reset(&self) {
        self.latency.reset();
        self.errors.store(0, Ordering::Relaxed);
    }
}

/// What goes to the store.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) reads: Asked,
    pub(crate) purges: Asked,
    purged: AtomicU64,
    by_hand: AtomicU64,
    feed: PurgeFeed,
    stored_entries: AtomicU64,
    stored_bytes: AtomicU64,
    unreadable: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficStats {
    pub(crate) reads: LatencyStats,
    pub(crate) purges: LatencyStats,
    pub(crate) errors: u64,
    pub(crate) purged: u64,
    pub(crate) by_hand: u64,
    pub(crate) stored_entries: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) unreadable: u64,
}

impl Traffic {
    /// Entries were handed to the store.
    pub(crate) fn stored(&self, writes: &[EntryWrite]) {
        let bytes: usize = writes.iter().map(|write| write.bytes.len()).sum();
        self.stored_entries.fetch_add(writes.len() as u64, Ordering::Relaxed);
        self.stored_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An entry is damaged or forged, or not what its reader takes it for.
    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// A purge was delivered, or queued.
    pub(crate) fn purged(&self, set: &PurgeSet, by_hand: bool, queued: bool) {
        let counter = if by_hand { &self.by_hand } else { &self.purged };
        counter.fetch_add(1, Ordering::Relaxed);
        self.feed.push(RecentPurge::of(set, SystemTime::now(), by_hand, queued));
    }

    pub(crate) fn recent_purges(&self) -> Vec<RecentPurge> {
        self.feed.newest_first()
    }

    pub(crate) fn stats(&self) -> TrafficStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficStats {
            reads: self.reads.latency.stats(),
            purges: self.purges.latency.stats(),
            errors: get(&self.reads.errors) + get(&self.purges.errors),
            purged: get(&self.purged),
            by_hand: get(&self.by_hand),
            stored_entries: get(&self.stored_entries),
            stored_bytes: get(&self.stored_bytes),
            unreadable: get(&self.unreadable),
        }
    }

    /// Of all but the feed, which tells what happened and counts nothing.
    pub(crate) fn reset(&self) {
        let Self { reads, purges, purged, by_hand, feed: _, stored_entries, stored_bytes, unreadable } = self;
        reads.reset();
        purges.reset();
        for counter in [purged, by_hand, stored_entries, stored_bytes, unreadable] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}
