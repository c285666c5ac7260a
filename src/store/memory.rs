//! The in-process store: the embedded default, for a single process.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use moka::{
    Expiry,
    ops::compute::{CompResult, Op},
    sync::Cache,
};

use super::{EntryKey, EntryWrite, Found, Stamp, Store, StoreError, TagKey, TagProbe, TagState};

/// Tags held at most. They are small, and kept apart from the entries, so that a flood of entries
/// does not evict the stamps that other entries need. An evicted stamp costs misses, never a
/// stale read.
const TAGS: u64 = 1_000_000;

/// Entries and tags in this process's memory, bounded.
///
/// The same protocol as with Redis: entries carry stamps, a purge makes tags absent. Other
/// processes see neither its entries nor its purges.
pub struct MemoryStore {
    entries: Cache<String, Kept<Bytes>>,
    tags: Cache<String, Kept<Stamp>>,
}

/// A value and when its life ends.
#[derive(Clone, Debug)]
struct Kept<T> {
    value: T,
    until: Instant,
}

impl<T> Kept<T> {
    fn new(value: T, ttl: Duration) -> Self {
        // A life beyond what the clock can count is as good as a year.
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        Self { value, until: Instant::now() + ttl.min(YEAR) }
    }

    /// moka removes what has expired a little later; nobody may see it meanwhile.
    fn is_alive(&self) -> bool {
        self.until > Instant::now()
    }
}

/// Tells moka to give the memory back when a life ends.
struct AtEndOfLife;

impl<T> Expiry<String, Kept<T>> for AtEndOfLife {
    fn expire_after_create(&self, _: &String, kept: &Kept<T>, now: Instant) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept<T>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }
}

impl MemoryStore {
    /// A store that holds at most about this many bytes of entries, keys included.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let weigh = |key: &String, kept: &Kept<Bytes>| {
            u32::try_from(key.len() + kept.value.len()).unwrap_or(u32::MAX)
        };
        Self {
            entries: Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(AtEndOfLife).build(),
            tags: Cache::builder().max_capacity(TAGS).expire_after(AtEndOfLife).build(),
        }
    }

    fn tag(&self, probe: &TagProbe) -> TagState {
        let key = probe.key.as_str();
        if let Some(kept) = self.tags.get(key).filter(Kept::is_alive) {
            return TagState::Stamp(kept.value);
        }
        let Some((stamp, ttl)) = probe.propose else { return TagState::Absent };
        // One atomic step: of two proposals at a time, one stands and both see it.
        let entry = self.tags.entry_by_ref(key).and_compute_with(|there| match there {
            Some(there) if there.value().is_alive() => Op::Nop,
            _ => Op::Put(Kept::new(stamp, ttl)),
        });
        match entry.into_entry() {
            Some(entry) => TagState::Stamp(entry.into_value().value),
            None => TagState::Absent,
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("entries", &self.entries.entry_count())
            .field("bytes", &self.entries.weighted_size())
            .field("tags", &self.tags.entry_count())
            .finish()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        // The entries first: a purge in between makes a tag absent, and so the entry invalid. The
        // other way round, an entry stored in between carries other stamps, and is invalid too.
        let entries = entries
            .iter()
            .map(|key| self.entries.get(key.as_str()).filter(Kept::is_alive).map(|kept| kept.value))
            .collect();
        let tags = tags.iter().map(|probe| self.tag(probe)).collect();
        Ok(Found { entries, tags, incarnation: 0 })
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        for EntryWrite { key, bytes, ttl } in entries {
            self.entries.insert(key.as_str().to_owned(), Kept::new(bytes.clone(), *ttl));
        }
        for (tag, life) in keep {
            // Atomic against a purge: a tag that is gone stays gone, and its stamp never changes.
            self.tags.entry_by_ref(tag.as_str()).and_compute_with(|there| match there {
                Some(there) if there.value().is_alive() => {
                    let longer = Kept::new(there.value().value, *life);
                    if longer.until > there.value().until { Op::Put(longer) } else { Op::Nop }
                }
                _ => Op::Nop,
            });
        }
        Ok(())
    }

    async fn purge(
        &self,
        tags: &[TagKey],
        entries: &[EntryKey],
        watched: &[TagKey],
    ) -> Result<Vec<TagState>, StoreError> {
        for tag in tags {
            // Not `invalidate`: that one does not wait for a computation on the same key, and a
            // `write` that is extending the tag's life could put the old stamp back after it.
            self.tags.entry_by_ref(tag.as_str()).and_compute_with(|_| Op::Remove);
        }
        for entry in entries {
            self.entries.invalidate(entry.as_str());
        }
        let look = |key: &TagKey| self.tag(&TagProbe { key: key.clone(), propose: None });
        Ok(watched.iter().map(look).collect())
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        let gone = entries.iter().filter_map(|key| self.entries.remove(key.as_str()));
        Ok(gone.filter(Kept::is_alive).count() as u64)
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let alive =
            |key: Arc<String>, alive: bool| (alive && key.starts_with(prefix)).then(|| key.as_ref().clone());
        let entries = self.entries.iter().filter_map(|(key, kept)| alive(key, kept.is_alive()));
        let tags = self.tags.iter().filter_map(|(key, kept)| alive(key, kept.is_alive()));
        Ok(entries.chain(tags).take(limit).collect())
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        let taken = self.entries.entry_by_ref(key.as_str()).and_compute_with(|there| match there {
            Some(there) if there.value().is_alive() => Op::Nop,
            _ => Op::Put(Kept::new(Bytes::new(), ttl)),
        });
        Ok(!matches!(taken, CompResult::Unchanged(_)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}
