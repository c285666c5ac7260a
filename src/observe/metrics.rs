//! What the cache counts, handed to the `metrics` facade. Nothing is recorded when a read is answered:
//! what has come since the last time is published now and then, from the counters that are kept anyway.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::task::AbortHandle;

use super::{CacheStats, TableStats, latency::Tally};
use crate::{Cache, store::StoreState};

/// Name, unit, what it is. The same list is in `docs/operations.md`.
const COUNTERS: [(&str, Unit, &str); 16] = [
    ("seacache_reads_total", Unit::Count, "Cached reads, by table and by how they were answered."),
    ("seacache_writes_total", Unit::Count, "Writes that purged, by table."),
    ("seacache_purges_total", Unit::Count, "Purges, by what they were made for."),
    (
        "seacache_namespace_purges_total",
        Unit::Count,
        "Statements that were not understood and purged everything.",
    ),
    ("seacache_delayed_purges_total", Unit::Count, "Purges that the store did not take at once."),
    ("seacache_unguarded_writes_total", Unit::Count, "Writes that went on without a barrier."),
    (
        "seacache_lapsed_barriers_total",
        Unit::Count,
        "Barriers that were gone while their write was under way.",
    ),
    ("seacache_verified_total", Unit::Count, "Hits that were held against the database."),
    (
        "seacache_stale_total",
        Unit::Count,
        "Hits that differed from the database although no write explains it.",
    ),
    (
        "seacache_refreshed_early_total",
        Unit::Count,
        "Entries that were loaded anew before their time was over.",
    ),
    ("seacache_refreshes_failed_total", Unit::Count, "Loads for that which failed."),
    (
        "seacache_not_stored_total",
        Unit::Count,
        "Answers that were too large or would not come back as they were.",
    ),
    ("seacache_stored_entries_total", Unit::Count, "Entries handed to the store."),
    ("seacache_stored_bytes_total", Unit::Bytes, "Bytes of entries handed to the store."),
    ("seacache_unreadable_total", Unit::Count, "Entries in the store that could not be read."),
    ("seacache_store_errors_total", Unit::Count, "Reads and purges that the store did not do."),
];
const GAUGES: [(&str, Unit, &str); 6] = [
    ("seacache_store_ready", Unit::Count, "1 if the store is used, 0 while it is left alone."),
    ("seacache_queued_purges", Unit::Count, "Tags whose purge waits to be delivered."),
    ("seacache_near_answers", Unit::Count, "Answers in this process's memory."),
    ("seacache_near_bytes", Unit::Bytes, "About how many bytes they take."),
    ("seacache_server_memory_bytes", Unit::Bytes, "Memory that the server uses, for everybody."),
    ("seacache_server_memory_limit_bytes", Unit::Bytes, "Memory that the server may use."),
];
const LATENCY: (&str, Unit, &str) =
    ("seacache_store_seconds", Unit::Seconds, "How long the store took, by what it was asked.");

/// What was published last, to publish what has come since.
#[derive(Default)]
pub(crate) struct Published {
    described: bool,
    counted: BTreeMap<(&'static str, String, &'static str), u64>,
    reads: Option<Tally>,
    purges: Option<Tally>,
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("counted", &self.counted.len()).finish_non_exhaustive()
    }
}

/// Publishes in the background until this is dropped.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct MetricsPublisher {
    task: AbortHandle,
}

impl Drop for MetricsPublisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cache {
    /// Hands what was counted since the last time to the recorder that is installed
    /// (`metrics-exporter-prometheus` and others). Call it before each scrape, or let
    /// [`publish_metrics_every`](Self::publish_metrics_every) do it. The names are in
    /// `docs/operations.md`.
    ///
    /// Labels are the namespace, table names (a thousand at most) and fixed words; never a key.
    /// Without a recorder it does nothing.
    pub fn publish_metrics(&self) {
        // A std lock: held while counters are handed over, never across an await.
        self.publish(&mut self.inner.observer.published.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets the counters to zero, with nothing lost that has not been published yet.
    pub(crate) fn reset_published(&self, reset: impl FnOnce()) {
        let mut last = self.inner.observer.published.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(&mut last);
        reset();
        last.counted.values_mut().for_each(|count| *count = 0);
        (last.reads, last.purges) = (None, None);
    }

    fn publish(&self, last: &mut Published) {
        let inner = &self.inner;
        let stats = self.stats();
        let namespace = &inner.config.namespace;
        if !std::mem::replace(&mut last.described, true) {
            describe();
        }
        for (table, counted) in &stats.tables {
            for (outcome, count) in outcomes(counted) {
                last.add("seacache_reads_total", (namespace, table), ("outcome", outcome), count);
            }
            last.add("seacache_writes_total", (namespace, table), ("", ""), counted.writes);
        }
        for (reason, count) in [("write", stats.purges), ("invalidation", stats.invalidations)] {
            last.add("seacache_purges_total", (namespace, ""), ("reason", reason), count);
        }
        for (name, count) in counters(&stats) {
            last.add(name, (namespace, ""), ("", ""), count);
        }
        let ready = inner.freshness.store().state() == StoreState::Ready;
        set(namespace, "seacache_store_ready", u64::from(ready));
        set(namespace, "seacache_queued_purges", stats.undelivered_tags);
        set(namespace, "seacache_near_answers", stats.near_answers);
        set(namespace, "seacache_near_bytes", stats.near_bytes);
        if let Some(server) = inner.observer.known_server() {
            for (name, bytes) in [
                ("seacache_server_memory_bytes", server.memory_bytes),
                ("seacache_server_memory_limit_bytes", server.memory_limit),
            ] {
                bytes.into_iter().for_each(|bytes| set(namespace, name, bytes));
            }
        }
        let traffic = &inner.freshness.traffic;
        let Published { reads, purges, .. } = last;
        for (operation, asked, last) in [("read", &traffic.reads, reads), ("purge", &traffic.purges, purges)]
        {
            let now = asked.latency.tally();
            let labels = labels(namespace, [("operation", operation)]);
            let histogram = histogram!(LATENCY.0, labels);
            for (took, times) in now.since(last.as_ref()) {
                histogram.record_many(took, usize::try_from(times).unwrap_or(usize::MAX));
            }
            *last = Some(now);
        }
    }

    /// Publishes now and then again, in the background, until what is returned is dropped. It also asks
    /// the store for its memory.
    pub fn publish_metrics_every(&self, period: Duration) -> MetricsPublisher {
        let cache = self.clone();
        let task = self.inner.freshness.runtime().spawn(async move {
            loop {
                cache.server().await;
                cache.publish_metrics();
                tokio::time::sleep(period.max(Duration::from_millis(100))).await;
            }
        });
        MetricsPublisher { task: task.abort_handle() }
    }
}

/// How the reads of a table were answered; together they are all of them.
fn outcomes(table: &TableStats) -> [(&'static str, u64); 6] {
    let TableStats { hits, near, misses, joined, bypasses, store_away, .. } = *table;
    [
        ("hit", hits.saturating_sub(near)),
        ("near", near),
        ("miss", misses.saturating_sub(joined)),
        ("joined", joined),
        ("bypass", bypasses.saturating_sub(store_away)),
        ("store_away", store_away),
    ]
}

fn counters(stats: &CacheStats) -> [(&'static str, u64); 13] {
    [
        ("seacache_namespace_purges_total", stats.namespace_purges),
        ("seacache_delayed_purges_total", stats.delayed_purges),
        ("seacache_unguarded_writes_total", stats.unguarded_writes),
        ("seacache_lapsed_barriers_total", stats.lapsed_barriers),
        ("seacache_verified_total", stats.verified_hits),
        ("seacache_stale_total", stats.stale_hits),
        ("seacache_refreshed_early_total", stats.refreshed_early),
        ("seacache_refreshes_failed_total", stats.refreshes_failed),
        ("seacache_not_stored_total", stats.not_stored),
        ("seacache_stored_entries_total", stats.stored_entries),
        ("seacache_stored_bytes_total", stats.stored_bytes),
        ("seacache_unreadable_total", stats.unreadable),
        ("seacache_store_errors_total", stats.store_errors),
    ]
}

impl Published {
    /// Adds what has come since. After a reset, all there is.
    fn add(
        &mut self,
        name: &'static str,
        (namespace, table): (&str, &str),
        (label, word): (&'static str, &'static str),
        count: u64,
    ) {
        let last = self.counted.entry((name, table.to_owned(), word)).or_insert(u64::MAX);
        let new = if *last <= count { count - *last } else { count };
        let first = *last == u64::MAX;
        *last = count;
        // A counter that has never counted is there all the same, so that a rate can begin at zero.
        if new > 0 || first {
            let more = [("entity", table), (label, word)].into_iter().filter(|(_, value)| !value.is_empty());
            counter!(name, labels(namespace, more)).increment(new);
        }
    }
}

fn set(namespace: &str, name: &'static str, value: u64) {
    #[allow(clippy::cast_precision_loss, reason = "gauges are floats")]
    gauge!(name, labels(namespace, [])).set(value as f64);
}

fn labels<'a>(namespace: &str, more: impl IntoIterator<Item = (&'static str, &'a str)>) -> Vec<Label> {
    let more = more.into_iter().map(|(name, value)| Label::new(name, value.to_owned()));
    std::iter::once(Label::new("namespace", namespace.to_owned())).chain(more).collect()
}

fn describe() {
    for (name, unit, what) in COUNTERS {
        describe_counter!(name, unit, what);
    }
    for (name, unit, what) in GAUGES {
        describe_gauge!(name, unit, what);
    }
    let (name, unit, what) = LATENCY;
    describe_histogram!(name, unit, what);
}
